"""Notes: one model, in the admin."""
