"""SVG figures, drawn without a plotting library."""
