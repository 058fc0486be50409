"""Pictures in, and relevance as pictures out."""
