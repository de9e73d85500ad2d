"""How the demo's bytes travel."""
