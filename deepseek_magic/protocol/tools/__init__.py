"""Functions that a model may ask for: what they are to it, how its arguments are read, and what goes back."""
