"""What the function is: configuration, architectures, weights, tokenizer, the folder on disk."""
