"""Defaults that the command line shows in its help. Imports nothing, so that the help appears at once."""

ITERATIONS = 3
"""Of a refinement: passes over all series."""
