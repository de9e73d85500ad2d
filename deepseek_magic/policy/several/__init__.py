"""Several endpoints, or two requests, for one answer: which is asked first, and when a second one is worth its money."""
