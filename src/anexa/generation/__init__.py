"""From a prompt to text: sampling, decoding with a cache, text as it streams."""

from anexa.generation.chat import AnswerPiece, ChatAnswer
from anexa.generation.decoding import Reader, decode, window_start
from anexa.generation.language_model import LanguageModel
from anexa.generation.sampling import Sampler, SamplingParams, probabilities
from anexa.generation.text_stream import Completion, Prompt, TextStream

__all__ = [
    "AnswerPiece",
    "ChatAnswer",
    "Completion",
    "LanguageModel",
    "Prompt",
    "Reader",
    "Sampler",
    "SamplingParams",
    "TextStream",
    "decode",
    "probabilities",
    "window_start",
]
