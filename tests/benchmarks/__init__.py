"""The benchmark: this package beside its peers, on one machine, in one run. ``python -m tests.benchmarks --help``."""
