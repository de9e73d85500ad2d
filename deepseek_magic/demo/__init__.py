"""A DeepSeek on this machine: for use without a key, for teaching and for tests."""
