"""Calls that begin before their turn, and calls that wait for one that begins alike."""
