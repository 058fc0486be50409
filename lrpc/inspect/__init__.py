"""Look into a compiled model: compare it with a reference, layer by layer."""
