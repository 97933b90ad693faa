"""The ASGI application: all routes, metrics, and the web pages."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

from fastapi import FastAPI, Security
from fastapi.responses import PlainTextResponse, Response
from fastapi.security import HTTPBearer
from prometheus_client import generate_latest
from starlette.middleware.cors import CORSMiddleware

from anexa import __version__
from anexa.errors import AnexaError
from anexa.generation import LanguageModel
from anexa.model.question import check_question_length
from anexa.server import (
    api,
    embeddings,
    ollama,
    ollama_models,
    responses,
    responses_schemas,
    schemas,
    tokenization,
)
from anexa.server.chat_completions import ChatCompletionChunk
from anexa.server.completions import CompletionChunk
from anexa.server.config import ServerConfig
from anexa.server.error_handlers import add_error_handlers
from anexa.server.introduction import introduce
from anexa.server.metrics import Metrics
from anexa.server.middleware import REQUEST_ID_HEADER, HeadRequestMiddleware, RequestIdMiddleware
from anexa.server.openapi import chunk_schemas
from anexa.server.pages import add_files, page_files
from anexa.server.protection import LOCAL_ORIGIN_PATTERN, ProtectionMiddleware
from anexa.server.served_models import ServedModel
from anexa.server.submission import errors_of_field
from anexa.server.worker import Worker
from anexa.thinking.checker import check

Result = TypeVar("Result")

# This only describes the key in /openapi.json; `ProtectionMiddleware` checks it.
_bearer = HTTPBearer(auto_error=False, description="API key of the server")


class Application(FastAPI):
    """FastAPI application whose OpenAPI description includes the chunks of streams."""

    def openapi(self) -> dict[str, Any]:
        """Describe the API; FastAPI caches the description."""
        description = super().openapi()
        description["components"]["schemas"] |= chunk_schemas(
            CompletionChunk, ChatCompletionChunk, *responses_schemas.EVENTS
        )
        return description


def create_app(config: ServerConfig, on_loaded: Callable[[AnexaError | None], None]) -> FastAPI:
    """Build the application, which loads its models in the background when it starts.

    `app.state.served` maps served model names to `ServedModel`s; it is empty until all models are
    loaded, and stays empty after an error.

    Args:
        config: configuration of the server.
        on_loaded: function that is called once in the event loop when loading is over: with None if
            all models are loaded, else with the error of the first one that cannot be.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(_load(app, config, on_loaded))
        yield
        loading.cancel()
        app.state.grammar_compiler.shutdown(wait=False, cancel_futures=True)
        for served in app.state.served.values():
            await served.worker.stop()

    # FastAPI's own page of the API would load scripts from another site.
    app = Application(
        title="Anexa",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        dependencies=[Security(_bearer)] if config.api_key else [],
    )
    app.state.served, app.state.metrics = {}, Metrics()
    app.state.log_prompts = config.log_prompts
    app.state.grammar_compiler = ThreadPoolExecutor(1, "anexa-grammars")  # one grammar at a time
    files = page_files("anexa.server", "/page/")
    files |= {"/": files["/page/index.html"], "/docs": files["/page/docs.html"]}
    app.include_router(api.router)
    app.include_router(embeddings.router)
    app.include_router(responses.router)
    app.include_router(tokenization.router)
    app.include_router(ollama.router)
    app.include_router(ollama_models.router)
    add_error_handlers(app, "see /docs")
    add_files(app, files)
    _add_other_routes(app)
    app.add_middleware(HeadRequestMiddleware)
    app.add_middleware(
        ProtectionMiddleware,
        hosts=config.allowed_hosts,
        any_address=config.allow_any_address,
        origins=config.allowed_origins,
        api_key=config.api_key,
        public_paths=files,
    )
    if config.allowed_origins or not config.api_key:
        # Outside of `ProtectionMiddleware`, so that these pages can read its errors too.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(config.allowed_origins),
            allow_origin_regex=None if config.api_key else LOCAL_ORIGIN_PATTERN.pattern,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=[REQUEST_ID_HEADER],
        )
    app.add_middleware(RequestIdMiddleware)
    return app


async def _load(
    app: FastAPI, config: ServerConfig, on_loaded: Callable[[AnexaError | None], None]
) -> None:
    served = {}
    for name, folder in config.models.items():
        try:
            model = await _in_thread(partial(LanguageModel.open, folder, config.engine))
            introduction = introduce(model)
            worker = Worker(model.engine, config, name, app.state.metrics)
        except AnexaError as error:
            on_loaded(error)
            return
        except Exception as error:  # of any kind: a server without its model must end
            short = " ".join(str(error).split())[:200] or type(error).__name__
            message = f"{name} cannot be served ({short}): try a lower --max-num-seqs"
            on_loaded(AnexaError(message))
            return
        model.name = name
        served[name] = ServedModel(model, worker, int(time.time()), introduction)
    app.state.served = served
    on_loaded(None)


async def _in_thread(function: Callable[[], Result]) -> Result:
    """Run a function in a daemon thread, which does not delay the shutdown of the server.

    Returns:
        The result of the function.
    """
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except Exception as error:  # raised where the future is awaited
            future.set_exception(error)

    future.set_running_or_notify_cancel()  # so that only the awaiting task can be canceled
    threading.Thread(target=run, name="anexa-loading", daemon=True).start()
    return await asyncio.wrap_future(future)


def _add_other_routes(app: FastAPI) -> None:
    unhealthy = {"model": schemas.Unhealthy, "description": "A model is loading or has failed."}

    @app.get(
        "/health",
        response_model=schemas.Health,
        responses={**schemas.ERROR_RESPONSES, 503: unhealthy},
    )
    async def health() -> Response:
        """Report whether all models are loaded and running."""
        if not app.state.served:
            return schemas.json_response(schemas.Unhealthy(status="loading"), 503)
        if any(served.worker.failed for served in app.state.served.values()):
            return schemas.json_response(schemas.Unhealthy(status="failed"), 503)
        return schemas.json_response(schemas.Health(status="ok"))

    text = {"text/plain": {"schema": {"type": "string"}}}
    exposition = {"description": "Metrics in Prometheus' text format.", "content": text}

    # Not PlainTextResponse: FastAPI would describe the errors of the route as plain text too.
    @app.get(
        "/metrics", response_class=Response, responses={**schemas.ERROR_RESPONSES, 200: exposition}
    )
    async def metrics() -> Response:
        """Report the metrics for Prometheus."""
        for name, served in app.state.served.items():
            scheduler = served.worker.scheduler
            app.state.metrics.num_running.labels(name).set(scheduler.num_running)
            app.state.metrics.num_waiting.labels(name).set(scheduler.num_waiting)
        return PlainTextResponse(
            generate_latest(app.state.metrics.registry), media_type="text/plain; version=0.0.4"
        )

    @app.post("/check", responses=schemas.ERROR_RESPONSES)
    async def check_thought(body: schemas.CheckRequest) -> schemas.CheckedThought:
        """Check each step of a thought about arithmetic."""
        with errors_of_field("question"):
            check_question_length(body.question)
        report = await asyncio.to_thread(check, body.question, body.thought, body.answer)
        return schemas.CheckedThought(
            lines=[
                schemas.CheckedLine(
                    text=line.text,
                    true=line.true,
                    error=line.error,
                    parsed=bool(line.operation),
                    facts=[
                        schemas.CheckedFact(text=fact.text, true=fact.true, fits=fact.fits)
                        for fact in line.facts
                    ],
                )
                for line in report.lines
            ],
            all_true=report.all_true,
            question_parsed=report.expected is not None,
            first_error=report.first_error,
        )
