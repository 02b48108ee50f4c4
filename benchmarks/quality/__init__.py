"""How near to known truth results are."""
