"""The served models, and how a request finds its model by name."""

from __future__ import annotations

from dataclasses import dataclass

import fastapi

from anexa.generation import LanguageModel
from anexa.model.weights import num_parameters
from anexa.server import schemas
from anexa.server.errors import APIError
from anexa.server.introduction import Introduction
from anexa.server.limits import MAX_COMPLETION_TOKENS
from anexa.server.worker import Worker

# Values of `top_p` and `top_k` in a request that gives none: any token may be sampled.
DEFAULT_TOP_P, DEFAULT_TOP_K = 1.0, None


@dataclass(frozen=True)
class ServedModel:
    """A loaded model, and the worker that generates with it.

    Attributes:
        model: model with its engine and tokenizer.
        worker: worker thread that runs the requests to the model.
        created: time when the model was loaded, in seconds since 1970.
        introduction: description and examples of the model, for the page.
    """

    model: LanguageModel
    worker: Worker
    created: int
    introduction: Introduction

    @property
    def block_size(self) -> int:
        """Context length of the model, in tokens."""
        return self.model.engine.config.block_size

    def to_schema(self) -> schemas.ModelInfo:
        """Convert to the description of the model in `GET /v1/models`."""
        supports_chat = self.model.chat_template is not None
        config = self.model.engine.config
        return schemas.ModelInfo(
            id=self.model.name,
            object="model",
            created=self.created,
            owned_by="anexa",
            max_model_len=self.block_size,
            supports_chat=supports_chat,
            max_tokens=self.block_size if supports_chat else MAX_COMPLETION_TOKENS,
            temperature=self.model.temperature,
            top_p=DEFAULT_TOP_P,
            top_k=DEFAULT_TOP_K,
            architecture=config.model_type,
            num_parameters=num_parameters(config),
            engine=self.model.engine.name,
            task=self.introduction.task,
            description=self.introduction.description,
            examples=list(self.introduction.examples),
        )


def served_models(http_request: fastapi.Request) -> dict[str, ServedModel]:
    """Return all served models by name, at least one, in the order of the command line.

    Raises:
        APIError: while the models are being loaded.
    """
    served: dict[str, ServedModel] = http_request.app.state.served
    if not served:
        raise APIError("the model is being loaded: try again in a second", status=503)
    return served


def find_model(http_request: fastapi.Request, name: str | None) -> ServedModel:
    """Return the model that answers a request with a model name, or without one.

    A single served model answers under any name, as in llama.cpp's server: many programs have a
    name such as "gpt-4o" written into them. Of several models, the first one answers a request
    without a name.

    Raises:
        APIError: if there are several models and none has this name, or while they are being
            loaded.
    """
    served = served_models(http_request)
    if name is None or len(served) == 1:
        return next(iter(served.values()))
    return find_model_by_name(http_request, name)


def find_model_by_name(http_request: fastapi.Request, name: str) -> ServedModel:
    """Return the served model with exactly this name.

    Raises:
        APIError: if no model has this name, or while the models are being loaded.
    """
    served = served_models(http_request)
    if name not in served:
        raise APIError(
            f"there is no model {name[:100]!r}: choose one of {', '.join(served)}",
            "model",
            status=404,
            code="model_not_found",
        )
    return served[name]
