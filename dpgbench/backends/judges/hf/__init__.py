"""Vision language models of transformers as judges (`hf:REPO`)."""
