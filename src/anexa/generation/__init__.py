"""From a prompt to text: sampling, decoding with a cache, text as it streams."""

from anexa.generation.decoding import Reader, decode, window_start
from anexa.generation.sampling import Sampler, Sampling, probabilities
from anexa.generation.text import Completion

__all__ = [
    "Completion",
    "Reader",
    "Sampler",
    "Sampling",
    "decode",
    "probabilities",
    "window_start",
]
