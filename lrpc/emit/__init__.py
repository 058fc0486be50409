"""Emitting ONNX nodes: names, the forms that each target prefers, and what runtimes lack."""
