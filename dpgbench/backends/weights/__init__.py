"""Where weights come from, and how they get onto the disk."""
