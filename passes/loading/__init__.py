"""From a file to a graph: what it says is checked, upgraded, and its layers are named."""
