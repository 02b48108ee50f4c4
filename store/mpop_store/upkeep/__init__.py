"""What keeps the store in order: packing, garbage collection, discarding, and checking every byte."""
