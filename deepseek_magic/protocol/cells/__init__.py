"""The cells of a notebook as text, before they are run."""
