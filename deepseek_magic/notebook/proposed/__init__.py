"""Code of an answer that a person may run: what is shown of it, the choice, and the run."""
