"""Comparing a plan with a reference, layer by layer."""
