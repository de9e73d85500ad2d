"""Several endpoints, or two requests, for one answer: what is remembered of them, and the race between two streams."""
