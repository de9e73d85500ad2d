"""Recording what the network brings, and playing it in the network's place."""
