"""Pictures, questions and labels that the embedded judge learns from."""
