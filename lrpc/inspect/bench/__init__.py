"""Timing an explanation beside its contestants."""
