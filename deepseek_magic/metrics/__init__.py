"""What was measured: one flat record a request, and the log that holds them."""
