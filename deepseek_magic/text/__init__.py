"""Below the protocol: text that people read, and what is inside it."""
