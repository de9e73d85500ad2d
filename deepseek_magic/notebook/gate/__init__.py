"""Asking the person in front of a notebook: by buttons where a click is heard, else by ``input()``, else not at all."""
