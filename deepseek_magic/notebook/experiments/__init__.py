"""Sweeps as they are typed and seen."""
