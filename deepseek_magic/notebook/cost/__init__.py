"""What running a notebook would cost, before it is run."""
