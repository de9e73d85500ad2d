"""Lessons: recorded on a tape and played from it."""
