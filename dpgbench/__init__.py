"""DPG-Bench, reproducible."""
