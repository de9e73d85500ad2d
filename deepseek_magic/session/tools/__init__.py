"""Questions whose answers may call functions: which, in what order of steps, and who carries the steps out."""
