"""What the toolkit costs, and whether its statistics hold: `python -m benchmarks.NAME`."""
