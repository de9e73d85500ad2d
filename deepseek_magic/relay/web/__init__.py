"""The relay over HTTP."""
