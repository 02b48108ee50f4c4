"""Objects: immutable byte strings named by their content, in files of their own and in packs; and their upkeep."""
