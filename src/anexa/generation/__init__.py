"""From a prompt to text: sampling, decoding with a cache, text as it streams."""

from anexa.generation.decoding import Reader, decode, window_start
from anexa.generation.dialogue import Answer, Piece
from anexa.generation.language_model import LanguageModel
from anexa.generation.sampling import Sampler, Sampling, probabilities
from anexa.generation.text import Completion, Prompt, Writing

__all__ = [
    "Answer",
    "Completion",
    "LanguageModel",
    "Piece",
    "Prompt",
    "Reader",
    "Sampler",
    "Sampling",
    "Writing",
    "decode",
    "probabilities",
    "window_start",
]
