"""Models for other programs and other people: GGUF, the Hugging Face Hub."""
