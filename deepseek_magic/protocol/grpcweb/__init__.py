"""xAI's chat interface over gRPC-Web, as bytes and values: protobuf fields, frames, and the chat API's JSON as its messages."""
