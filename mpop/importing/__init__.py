"""Importers: what reads the projects of other programs, one module each, listed in `registry`."""
