"""What a process that is killed in a test imports at its start."""
