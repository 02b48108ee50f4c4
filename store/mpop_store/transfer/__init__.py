"""Exchanging commits and objects with other populations, over whatever connects the two."""
