"""Calls that begin before their turn."""
