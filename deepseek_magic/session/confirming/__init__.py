"""Asking a person before something is done: what is asked, and how it is asked in a terminal."""
