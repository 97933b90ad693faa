"""Models: configuration, architectures, weights, tokenizer, and their files on disk."""

from anexa.model import architectures as architectures  # registers what ModelConfig checks
