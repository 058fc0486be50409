"""The version of lrpc, as bundles tell it and pip installs it."""

VERSION = "0.1.0"
