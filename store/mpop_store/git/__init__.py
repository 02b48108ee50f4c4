"""The Git side: objects, references, the operation log, history, and the working state."""
