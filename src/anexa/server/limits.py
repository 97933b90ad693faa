"""Limits of one HTTP request: its size, and what its fields may ask for."""

from __future__ import annotations

MAX_BODY_BYTES = 1_000_000  # bytes of the body
MAX_HEADER_BYTES = 16 * 1024  # bytes of all names and values of the headers together
MAX_TEXT_CHARS = 200_000  # characters of one prompt or one message
MAX_PROMPT_TOKENS = 10_000  # entries of a prompt that is given as token ids
MAX_MESSAGES = 200  # messages of a conversation, or parts of a message
MAX_EMBEDDINGS = 2048  # texts of one request for embeddings, as in OpenAI's API
MAX_TOOLS = 128  # tools of one request, as in OpenAI's API
MAX_NAME_CHARS = 64  # characters of the name of a function or a schema
MAX_CHOICES = 16  # number of prompts times `best_of`, or times `n` without it
MAX_STOP_STRINGS = 16  # stop strings of one request
MAX_STOP_CHARS = 200  # characters of one stop string
MAX_TOKEN_IDS = 10_000  # entries of `logit_bias` and of `stop_token_ids`
MAX_LOGPROBS = 20  # most likely tokens reported at each position
MAX_COMPLETION_TOKENS = 4096  # generated tokens of one choice of /v1/completions
