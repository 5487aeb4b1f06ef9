"""Dense prompts from scenes: the caption, the body's introductions, sentences, their vocabulary."""
