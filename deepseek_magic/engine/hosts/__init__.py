"""The servers that a call can go to: their addresses, keys and health."""
