"""T2I-CompBench's metrics, standing alone: words, boxes and networks, without the toolkit.

`questions` and `spatial` are pure; `blip`, `clip` and `detectors` need torch, and are imported by
whoever wants them.
"""
