"""What stands beside the conversation, a tab each."""
