"""What a prompt takes along of a notebook and of files: which words of it are secrets, and how it is listed."""
