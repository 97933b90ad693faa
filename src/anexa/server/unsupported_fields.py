"""Fields of OpenAI's API, vLLM, llama.cpp and transformers that are refused by name.

`docs/api.md` lists them. A null, and the value that asks for what Anexa does anyway, pass.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel

from anexa.server.unsupported import Neutral, Unsupported

# Types of fields, named after the value that is accepted. Null is accepted by all of them.
Null = Annotated[Unsupported, Neutral()]
False_ = Annotated[Unsupported, Neutral(False)]
True_ = Annotated[Unsupported, Neutral(True)]
Zero = Annotated[Unsupported, Neutral(0)]
One = Annotated[Unsupported, Neutral(1)]
EmptyList = Annotated[Unsupported, Neutral([])]


class UnsupportedSampling(BaseModel):
    """Unsupported fields of vLLM, llama.cpp and transformers, on all routes that generate text."""

    allowed_token_ids: Null = None
    bad_words: EmptyList = None
    cache_salt: Null = None
    do_sample: True_ = None
    dry_multiplier: Zero = None
    dynatemp_range: Zero = None
    grammar: Null = None
    include_stop_str_in_output: False_ = None
    json_schema: Null = None
    length_penalty: One = None
    logits_processors: EmptyList = None
    lora: EmptyList = None
    max_new_tokens: Null = None
    min_keep: Zero = None
    mirostat: Zero = None
    n_indent: Zero = None
    n_predict: Null = None  # -1 asks for no limit: so does a `max_tokens` of -1, which is honored
    n_probs: Zero = None
    no_repeat_ngram_size: Zero = None
    num_beams: One = None
    num_return_sequences: One = None
    post_sampling_probs: False_ = None
    prompt_embeds: Null = None
    repeat_last_n: Annotated[Unsupported, Neutral(-1)] = None
    response_fields: EmptyList = None
    return_token_ids: False_ = None
    return_tokens_as_token_ids: False_ = None
    samplers: Null = None  # an empty list switches off all samplers of llama.cpp
    skip_special_tokens: True_ = None
    t_max_predict_ms: Annotated[Unsupported, Neutral(-1, 0)] = None
    tfs_z: One = None
    top_n_sigma: Annotated[Unsupported, Neutral(-1)] = None
    truncate_prompt_tokens: Null = None
    typical_p: One = None
    use_beam_search: False_ = None
    xtc_probability: Zero = None


class UnsupportedChat(BaseModel):
    """Further unsupported fields of `POST /v1/chat/completions`."""

    add_special_tokens: False_ = None  # the chat template writes them
    audio: Null = None
    best_of: One = None
    chat_template: Null = None
    documents: EmptyList = None
    echo: False_ = None
    function_call: Annotated[Unsupported, Neutral("none", "auto")] = None
    functions: EmptyList = None
    include_reasoning: True_ = None
    modalities: Annotated[Unsupported, Neutral(["text"])] = None
    moderation: Null = None  # a model of OpenAI that checks the messages and the answer
    reasoning_format: Annotated[Unsupported, Neutral("auto", "deepseek")] = None
    store: False_ = None
    verbosity: Annotated[Unsupported, Neutral("medium")] = None
    web_search_options: Null = None


class UnsupportedCompletion(BaseModel):
    """Further unsupported fields of `POST /v1/completions`."""

    add_special_tokens: True_ = None
    max_completion_tokens: Null = None
    suffix: Annotated[Unsupported, Neutral("")] = None
