"""Tapes: lessons recorded once and replayed without key or network. What one holds, and how a question finds its answer."""
