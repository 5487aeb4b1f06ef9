"""Files: benchmarks, images, run directories. Knows no model and computes no score."""
