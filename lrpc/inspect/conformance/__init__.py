"""Running one bundle on every runtime that is installed."""
