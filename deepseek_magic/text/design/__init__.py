"""How what we draw looks: the same spaces, sizes and colours everywhere."""
