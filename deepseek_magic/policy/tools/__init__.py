"""What a model may have run, and when it has asked for enough."""
