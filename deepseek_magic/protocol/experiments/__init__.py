"""Many questions made of one: what is varied, what is asked of each input, and how an answer is scored."""
