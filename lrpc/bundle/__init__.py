"""What is on disk: the manifest, the graphs and their weights, and how they are written whole or not at all."""
