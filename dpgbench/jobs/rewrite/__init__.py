"""Prompts rewritten by a language model: longer, or shorter, as another benchmark.

The questions stay those of the original, so that a model drawn on both is asked the same.
"""
