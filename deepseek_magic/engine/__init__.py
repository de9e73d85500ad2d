"""Doing it: sockets, files and loops."""
