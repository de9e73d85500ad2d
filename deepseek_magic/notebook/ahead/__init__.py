"""Look-ahead: of the cells that wait behind the running one, those that depend on nothing before them are asked already."""
