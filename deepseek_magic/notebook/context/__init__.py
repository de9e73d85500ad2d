"""What of the notebook can go along with a prompt."""
