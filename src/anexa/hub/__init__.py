"""Export to other programs (GGUF, JSON), and publishing on the Hugging Face Hub."""
