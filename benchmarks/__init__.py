"""Timings: never in the tests, always as ratios within one run."""
