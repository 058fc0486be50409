"""Where relevance grows, and which rules stop it."""
