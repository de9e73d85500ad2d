"""Tools of MCP servers: the user's own configuration, the servers that run, and what they offer (extra ``mcp``)."""
