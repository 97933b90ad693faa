"""Routes of Ollama's API about models: `/api/tags`, `/api/show` and `/api/version`."""

from __future__ import annotations

import asyncio
import hashlib
from functools import lru_cache

import fastapi
from fastapi import APIRouter

from anexa.generation import LanguageModel
from anexa.model.weights import num_parameters
from anexa.server.ollama import (
    ERROR_RESPONSES,
    LATEST_TAG,
    OllamaRoute,
    find_ollama_model,
    supports_thinking,
    timestamp,
)
from anexa.server.ollama_schemas import (
    Details,
    ShowRequest,
    ShowResponse,
    TaggedModel,
    TagList,
    Version,
)
from anexa.server.served_models import ServedModel, served_models

OLLAMA_VERSION = "0.12.0"  # whose API these routes follow; some programs ask for a minimum
PARAMETER_BYTES = {"float32": 4, "float64": 8}  # size of a parameter, by the dtype of the engine
# Units of a number of parameters, as in "804.6K".
PARAMETER_UNITS = ((10**9, "B"), (10**6, "M"), (10**3, "K"))

router = APIRouter(prefix="/api", route_class=OllamaRoute, responses=ERROR_RESPONSES)


@router.get("/tags")
async def list_tags(http_request: fastapi.Request) -> TagList:
    """List the served models with their sizes and hashes."""
    served = [*served_models(http_request).values()]
    digests = [await asyncio.to_thread(_digest, one.model) for one in served]
    return TagList(models=[_tagged(one, digest) for one, digest in zip(served, digests)])


@router.post("/show")
async def show(http_request: fastapi.Request, body: ShowRequest) -> ShowResponse:
    """Return a served model's chat template, sizes, and default sampling parameters."""
    served = find_ollama_model(http_request, body.model or body.name)
    model, config = served.model, served.model.engine.config
    kind = config.model_type
    parameters = f"temperature {model.temperature:g}"
    return ShowResponse(
        modelfile=f"FROM {model.name}\nPARAMETER {parameters}\n",
        parameters=parameters,
        template=model.chat_template or "",
        details=_details(served),
        model_info={
            "general.architecture": kind,
            "general.parameter_count": num_parameters(config),
            f"{kind}.attention.head_count": config.n_head,
            f"{kind}.attention.head_count_kv": config.n_kv_head,
            f"{kind}.block_count": config.n_layer,
            f"{kind}.context_length": config.block_size,
            f"{kind}.embedding_length": config.n_embd,
            f"{kind}.vocab_size": config.vocab_size,
        },
        capabilities=["completion", "thinking"] if supports_thinking(served) else ["completion"],
        modified_at=timestamp(served.created),
    )


@router.get("/version")
async def version() -> Version:
    """Return the version of Ollama whose API these routes follow."""
    return Version(version=OLLAMA_VERSION)


def _tagged(served: ServedModel, digest: str) -> TaggedModel:
    engine, name = served.model.engine, served.model.name
    tag = name if ":" in name else name + LATEST_TAG
    return TaggedModel(
        name=tag,
        model=tag,
        modified_at=timestamp(served.created),
        size=num_parameters(engine.config) * PARAMETER_BYTES[engine.dtype],
        digest=digest,
        details=_details(served),
    )


def _details(served: ServedModel) -> Details:
    engine = served.model.engine
    count = num_parameters(engine.config)
    size = next(
        (f"{count / unit:.1f}{name}" for unit, name in PARAMETER_UNITS if count >= unit), str(count)
    )
    return Details(
        parent_model="",
        format="safetensors",
        family=engine.config.model_type,
        families=[engine.config.model_type],
        parameter_size=size,
        quantization_level="F64" if engine.dtype == "float64" else "F32",
    )


@lru_cache(maxsize=64)
def _digest(model: LanguageModel) -> str:
    """Compute the SHA-256 of a model's weights, with their names, as its engine has them."""
    digest = hashlib.sha256()
    for name, weight in model.engine.weights().items():
        digest.update(name.encode())
        digest.update(weight.data.tobytes())
    return digest.hexdigest()
