"""What the embedded models are trained on: scenes, their captions, the words of the tokenizers."""
