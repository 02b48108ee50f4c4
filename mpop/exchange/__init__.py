"""Exchange of populations: clone, fetch, push, serve and drop, with the rules that hold for records."""
