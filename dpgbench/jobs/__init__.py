"""Work that can be stopped and taken up again: generate grids, ask judges, score answers."""
