"""Do the tests bite? The sources are broken on purpose, a place at a time, and a test has to notice."""
