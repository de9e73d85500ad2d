"""The magics: what is typed, and what is done with it."""
