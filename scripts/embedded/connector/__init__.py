"""Training of the embedded language model and ELLA connector."""
