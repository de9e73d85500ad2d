"""What the words mean: bytes and values. No clock, no input or output, no notebook."""
