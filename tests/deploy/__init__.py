"""Compiled files where they are deployed: real runtimes and a real browser (`make test-deploy`)."""
