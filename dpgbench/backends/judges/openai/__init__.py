"""OpenAI-compatible servers as judges (`openai:MODEL`)."""
