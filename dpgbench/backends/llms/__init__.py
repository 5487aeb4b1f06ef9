"""Language models: what is asked of them, and how each kind is reached."""
