"""Particles that cannot share one place, of two species or of one.

report = finding.find(population)                         # find_among for records that are nowhere yet
gone = choices.losers(report, Choice.KEEP_BETTER)         # which particles would go, and why
removal.stage_removal(population, gone)                   # `mpop commit` keeps it
"""
