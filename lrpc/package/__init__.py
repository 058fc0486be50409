"""Folders that others serve or ship: one module per destination."""
