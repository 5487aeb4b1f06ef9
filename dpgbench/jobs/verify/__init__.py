"""Is a run what it says: every file of it looked at, and what is damaged set aside."""
