"""What to do: pure decisions. Time and chance come in as arguments."""
