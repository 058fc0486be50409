"""Scripts that make the tables and pictures of the documentation."""
