"""The rows about sweeps: E1 to E9, beside the programs that others evaluate prompts with."""
