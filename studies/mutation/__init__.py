"""Would a test notice? One token of the code is changed at a time, and the tests that run it must fail.

`python -m studies.mutation` does it and writes docs/mutants.md.
"""
