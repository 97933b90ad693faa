"""The server put together: routes, figures, and the page."""

from __future__ import annotations

import asyncio
import importlib.resources
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from fastapi import FastAPI, Security
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from fastapi.security import HTTPBearer
from prometheus_client import generate_latest
from starlette.middleware.cors import CORSMiddleware

from anexa import __version__
from anexa.errors import AnexaError
from anexa.generation import LanguageModel
from anexa.server import api, schemas
from anexa.server.errors import add_errors
from anexa.server.limits import Limits
from anexa.server.metrics import Metrics
from anexa.server.protection import Protection
from anexa.server.requests import Judged
from anexa.server.worker import Worker
from anexa.thinking.checker import check

Result = TypeVar("Result")

PAGE = Path(str(importlib.resources.files("anexa.server") / "page"))
TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


# Only said to those who read the schema: `Protection` sees to it.
_bearer = HTTPBearer(auto_error=False, description="The key that the server was started with.")


@dataclass(frozen=True)
class Plan:
    """What is served, and to whom.

    Attributes:
        folders: model folders, by the names that they are served under; None: the model that
            comes along.
        engine: what computes them.
        hosts: names of the server.
        any_address: whether it may be asked for by address too, whichever it has.
        origins: of other pages that may use it.
        key: what a request must bring along, if there is one.
        limits: of requests.
        log_prompts: whether prompts are written to the log.
    """

    folders: Mapping[str, Path | None]
    engine: str = "auto"
    hosts: Sequence[str] = ("localhost", "127.0.0.1", "::1")
    any_address: bool = False
    origins: Sequence[str] = ()
    key: str | None = None
    limits: Limits = field(default_factory=Limits)
    log_prompts: bool = False


class Application(FastAPI):
    """FastAPI's, which describes the parts of streams too."""

    def openapi(self) -> dict[str, Any]:
        """See `FastAPI`, which keeps it."""
        described = super().openapi()
        described["components"]["schemas"] |= schemas.schemas_of_parts()
        return described


def create_app(plan: Plan, ready: Callable[[AnexaError | None], None]) -> FastAPI:
    """The application; it loads its models when it is started.

    Args:
        plan: what it serves.
        ready: is called when they are loaded, or could not be.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(_load(app, plan, ready))
        yield
        loading.cancel()
        for served in app.state.served.values():
            await served.worker.stop()

    # FastAPI's own page of the API would load its program from elsewhere.
    app = Application(
        title="Anexa",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        dependencies=[Security(_bearer)] if plan.key else [],
    )
    app.state.served, app.state.metrics = {}, Metrics()
    app.state.log_prompts = plan.log_prompts
    files = {f"/page/{path.name}": path for path in sorted(PAGE.iterdir()) if path.suffix in TYPES}
    files |= {"/": PAGE / "index.html", "/docs": PAGE / "docs.html"}
    app.include_router(api.router)
    add_errors(app)
    _add_own_routes(app, files)
    app.add_middleware(
        Protection,
        hosts=plan.hosts,
        any_address=plan.any_address,
        origins=plan.origins,
        key=plan.key,
        files=files,
    )
    if plan.origins:  # around it: what is refused has to reach those pages too
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(plan.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
        )
    return app


async def _in_thread(function: Callable[[], Result]) -> Result:
    """The result of a function that may take long; if the server ends, it is left to itself."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def tell(result: Result | None, error: Exception | None) -> None:
        if future.cancelled():
            return
        if error:
            future.set_exception(error)
        else:
            future.set_result(cast("Result", result))

    def work() -> None:
        result, failed = None, None
        try:
            result = function()
        except Exception as error:  # which is raised where somebody waits for it
            failed = error
        with suppress(RuntimeError):  # the server has gone
            loop.call_soon_threadsafe(tell, result, failed)

    threading.Thread(target=work, name="anexa-loading", daemon=True).start()
    return await future


async def _load(app: FastAPI, plan: Plan, ready: Callable[[AnexaError | None], None]) -> None:
    served = {}
    for name, folder in plan.folders.items():
        try:
            model = await _in_thread(partial(LanguageModel.open, folder, plan.engine))
            worker = Worker(model.engine, plan.limits, name, app.state.metrics)
        except AnexaError as error:
            ready(error)
            return
        except Exception as error:  # whatever it is: a server that never loads helps nobody
            short = " ".join(str(error).split())[:200] or type(error).__name__
            ready(AnexaError(f"{name} cannot be served ({short}): try a lower --running"))
            return
        model.name = name
        served[name] = api.Served(model, worker, int(time.time()))
    app.state.served = served
    ready(None)


def _add_own_routes(app: FastAPI, files: Mapping[str, Path]) -> None:
    def file_route(path: Path) -> Any:
        async def file() -> FileResponse:
            kind = TYPES[path.suffix]
            return FileResponse(path, media_type=f"{kind}; charset=utf-8")

        return file

    for route, path in files.items():
        app.add_api_route(route, file_route(path), include_in_schema=False)

    trouble = {"model": schemas.Trouble, "description": "Being loaded, or failed."}

    @app.get("/health", response_model=schemas.Health, responses={**api.ERRORS, 503: trouble})
    async def health() -> JSONResponse:
        """Whether the models are loaded, and write."""
        if not app.state.served:
            return JSONResponse({"status": "loading"}, 503)
        if any(served.worker.failed for served in app.state.served.values()):
            return JSONResponse({"status": "failed"}, 503)
        return JSONResponse({"status": "ok"})

    text = {"text/plain": {"schema": {"type": "string"}}}
    figures = {"description": "In Prometheus' text format.", "content": text}

    # Of no class with a kind of its own: that would be the kind of its errors, too.
    @app.get("/metrics", response_class=Response, responses={**api.ERRORS, 200: figures})
    async def metrics() -> Response:
        """Figures for Prometheus."""
        for name, served in app.state.served.items():
            batcher = served.worker.batcher
            app.state.metrics.running.labels(name).set(batcher.running)
            app.state.metrics.waiting.labels(name).set(batcher.waiting)
        return PlainTextResponse(
            generate_latest(app.state.metrics.registry), media_type="text/plain; version=0.0.4"
        )

    @app.post("/check", response_model=schemas.CheckedThought, responses=api.ERRORS)
    async def judge(judged: Judged) -> JSONResponse:
        """Which steps of a thought about arithmetic are true."""
        report = await asyncio.to_thread(check, judged.question, judged.thought, judged.answer)
        lines = [
            {
                "text": line.text,
                "true": line.true,
                "error": line.error,
                "read": bool(line.operation),
            }
            for line in report.lines
        ]
        return JSONResponse(
            {
                "lines": lines,
                "all_true": report.all_true,
                "understood": report.expected is not None,
                "first_error": report.first_error,
            }
        )
