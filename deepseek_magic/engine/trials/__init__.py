"""Sweeps: many calls as one, each trial kept in the journal as soon as it is answered."""
