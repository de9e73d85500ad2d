"""The rows about many answers at once: P11 to P14."""
