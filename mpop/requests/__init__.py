"""Merge requests: a commit offered for a branch, kept in the population's own references."""
