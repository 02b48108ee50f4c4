"""What the comparisons with other programs run in processes of its own, or keep and learn from."""
