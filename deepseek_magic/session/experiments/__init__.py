"""Many questions made of one: plans from what a person has at hand, sweeps that ask them, and what became of each."""
