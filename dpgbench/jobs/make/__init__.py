"""Question graphs of prompts, made by a language model: `dpgbench prompts make`.

The parts: `template` (what is asked), `examples` (the graphs that show how), `reading` (what the
reply means), `conversation` (one prompt, from the first request to a graph or a reason), `make`
(all prompts, and the files), `estimate` (what it will cost).
"""
