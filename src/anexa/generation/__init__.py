"""Text generation: sampling, a continuous-batching scheduler, and streams of text and chat."""

from anexa.generation.chat import AnswerPiece, ChatAnswer
from anexa.generation.language_model import LanguageModel
from anexa.generation.offline import generate_batch, generate_tokens
from anexa.generation.sampling import Constraint, Sampler, probabilities
from anexa.generation.sampling_params import GREEDY, SamplingParams
from anexa.generation.scheduler import BatchScheduler, StepOutput
from anexa.generation.text_stream import Prompt, TextStream, stream_text
from anexa.generation.window import window_start

__all__ = [
    "GREEDY",
    "AnswerPiece",
    "BatchScheduler",
    "ChatAnswer",
    "Constraint",
    "LanguageModel",
    "Prompt",
    "Sampler",
    "SamplingParams",
    "StepOutput",
    "TextStream",
    "generate_batch",
    "generate_tokens",
    "probabilities",
    "stream_text",
    "window_start",
]
