"""Cells whose answers call functions: the rounds drawn one below the other, and what lasts of each call."""
