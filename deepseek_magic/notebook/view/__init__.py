"""How one answer is shown, in a page, a terminal and a saved notebook."""
