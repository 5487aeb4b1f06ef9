"""Generators: text-to-image models that draw grids."""
