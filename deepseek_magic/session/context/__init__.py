"""What goes along with a prompt on request: cells of the notebook, files, pages of the web."""
