"""Arguments and options that several commands have, as type hints for Typer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ModelPath = Annotated[
    Path | None,
    typer.Argument(help="Model folder, or JSON or GGUF file. [default: the bundled model]"),
]
EngineName = Annotated[
    str,
    typer.Option(
        help="Engine: scalar, lists, numpy, numba, torch, or auto, which is numba once it has "
        "compiled the model, and numpy before."
    ),
]
Temperature = Annotated[
    float | None,
    typer.Option(
        help="Number that logits are divided by; 0: always the likeliest token. "
        "[default: the model's own]"
    ),
]
TopK = Annotated[
    int | None, typer.Option(help="Sample from the K likeliest tokens. [default: from all]")
]
TopP = Annotated[
    float, typer.Option(help="Sample from the likeliest tokens with this total probability.")
]
MinP = Annotated[
    float,
    typer.Option(
        help="Sample from the tokens that are at least this number times as probable as the "
        "likeliest."
    ),
]
RepetitionPenalty = Annotated[
    float,
    typer.Option(
        help="Make tokens of the prompt and the text less likely: divide positive logits by this "
        "number, multiply negative ones. 1: no penalty."
    ),
]
FrequencyPenalty = Annotated[
    float,
    typer.Option(
        help="Number subtracted from a token's logit for each time that it has been generated."
    ),
]
PresencePenalty = Annotated[
    float, typer.Option(help="Number subtracted once from the logit of each generated token.")
]
MaxTokens = Annotated[
    int | None,
    typer.Option(
        help="Maximum number of tokens in a text or an answer. [default: 200; of a chat model, "
        "what the context has room for]"
    ),
]
SamplingSeed = Annotated[int, typer.Option(help="Random seed for sampling.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")]
STUDENT_HELP = "Name that draws the numbers of the exercises: each student gets others."
Student = Annotated[str, typer.Option(metavar="NAME", help=STUDENT_HELP)]
