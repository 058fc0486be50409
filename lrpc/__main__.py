"""`python -m lrpc` is the command `lrpc`."""

from lrpc.cli import main

main(prog_name="lrpc")
