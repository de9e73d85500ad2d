"""A lesson that is recorded with all that can happen, and played where there is nothing: no key, no interface, no demo."""
