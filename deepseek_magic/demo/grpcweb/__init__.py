"""The demo as a gRPC service: xAI's chat interface in front of the same answers, and a real Envoy in front of that."""
