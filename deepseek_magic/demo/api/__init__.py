"""What the demo answers: DeepSeek's API, its rules and its words."""
