"""The HTML page: one file that opens offline, from the board's numbers."""
