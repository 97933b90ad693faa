"""The glass box over HTTP: a thin layer over the functions of this package."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Query
from fastapi.responses import Response

from anexa import __version__
from anexa.errors import UsageError
from anexa.explore import jobs
from anexa.explore.axes import tokens_of
from anexa.explore.differences import compare_scenes, subtract_tensors
from anexa.explore.number import explain_number
from anexa.explore.overview import describe_folder, describe_map, make_thumbnails
from anexa.explore.quantities import QuantityName, read_tensor
from anexa.explore.reading import read_sequence
from anexa.explore.responses import JobResponse, json_response, run_job, tensors_response
from anexa.explore.scene import InputKind, Scene
from anexa.explore.session import ReplayNeeded, Session
from anexa.explore.trial_run import TRIAL_COMMAND, TRIAL_STEPS
from anexa.explore.windows import cut_window
from anexa.server.error_handlers import add_error_handlers
from anexa.server.errors import APIError
from anexa.server.pages import add_files, page_files
from anexa.server.parameters import IntParameter
from anexa.server.protection import ProtectionMiddleware

MAX_WINDOW_SIZE = 1024  # maximum number of rows, and of columns, of one window of a tensor

AddPages = Callable[[FastAPI], dict[str, Path]]
"""Function that adds the routes of further pages, and returns their files by URL path."""


def create_app(
    session: Session, token: str, hosts: tuple[str, ...], add_pages: AddPages | None = None
) -> FastAPI:
    """Build the web application of the glass box.

    Args:
        session: session of the page, with the open model folders.
        token: token that every request for data must carry.
        hosts: host names and addresses that the `Host` header may name.
        add_pages: adds further pages, such as those of the course; default: none.
    """
    app = FastAPI(
        title="Anexa", version=__version__, docs_url=None, redoc_url=None, openapi_url=None
    )
    files = page_files("anexa.explore", "/explore/") | page_files("anexa.server", "/page/")
    files["/"] = files["/explore/index.html"]
    if add_pages:
        files |= add_pages(app)
    add_files(app, files)
    add_error_handlers(app, "the page is at /")
    _add_views(app, session)
    _add_jobs(app, session)

    @app.exception_handler(ReplayNeeded)
    async def replay_needed(_request: Any, error: ReplayNeeded) -> Response:
        return APIError(str(error), status=409, code="replay").response()

    app.add_middleware(ProtectionMiddleware, hosts=hosts, api_key=token, public_paths=files)
    return app


def scene_of(
    folder: IntParameter = 0,
    step: IntParameter | None = None,
    text: str | None = None,
    chat: str | None = None,
    batch: bool = False,
    edit: Annotated[list[str] | None, Query()] = None,
) -> Scene:
    """Return the scene (weights, input and switches) that the query of a request names.

    Args:
        folder: id of an open folder.
        step: number of training steps after which the weights are taken; None: those in the folder.
        text: text that the model reads.
        chat: question that the model answers.
        batch: whether the input is the training batch of the step after `step`.
        edit: switches, as `anexa.explore.switches.parse_edit` reads them.

    Raises:
        UsageError: if the query does not have exactly one of `text`, `chat` and `batch`.
    """
    if (text is not None) + (chat is not None) + batch != 1:
        raise UsageError("a scene has one input: a text, a question for a chat, or a batch")
    kind: InputKind = "chat" if chat is not None else "batch" if batch else "text"
    return Scene(folder, step, kind, text or chat or "", tuple(edit or ()))


@dataclass(frozen=True)
class Versus:
    """Scene to compare another scene with: a copy of that scene, changed by these fields.

    Attributes:
        versus_folder: id of another folder; None means the same folder.
        versus_step: another step; −1 means the weights in the folder, None the same step.
        versus_unedited: whether to leave out the switches.
    """

    versus_folder: IntParameter | None = None
    versus_step: IntParameter | None = None
    versus_unedited: bool = False

    def scene(self, scene: Scene) -> Scene:
        """Return the scene to compare a scene with: a copy of it, with these changes."""
        folder = scene.folder if self.versus_folder is None else self.versus_folder
        step = scene.step if self.versus_step is None else self.versus_step
        edits = () if self.versus_unedited else scene.edits
        return Scene(folder, None if step == -1 else step, scene.kind, scene.text, edits)


InScene = Annotated[Scene, Depends(scene_of)]
"""Parameter of a route: the scene that the query of a request names."""

InVersus = Annotated[Versus, Depends()]
"""Parameter of a route: how the scene to compare with differs, from the query of a request."""


def _add_views(app: FastAPI, session: Session) -> None:
    """Add the routes that answer at once: JSON for scalars, safetensors for windows of tensors."""

    @app.get("/api/folders")
    def folders() -> Response:
        with session.lock:
            found = [describe_folder(folder, i) for i, folder in enumerate(session.folders)]
        return json_response({"folders": found, "version": __version__})

    @app.get("/api/map")
    def map_view(scene: InScene) -> Response:
        with session.lock:
            return json_response(describe_map(session, scene))

    @app.get("/api/thumbnails")
    def thumbnails_view(
        scene: InScene,
        versus: InVersus,
        quantity: Literal["value", "gradient", "difference"] = "value",
    ) -> Response:
        with session.lock:
            trace = session.trace(scene)
            if quantity == "difference":
                tensors = subtract_tensors(trace, session.trace(versus.scene(scene)))
            else:
                tensors = trace.values if quantity == "value" else trace.grads
            found = make_thumbnails(tensors)
        return tensors_response(found)

    @app.get("/api/differences")
    def differences_view(scene: InScene, versus: InVersus) -> Response:
        with session.lock:
            found = compare_scenes(session, scene, versus.scene(scene))
        return json_response(asdict(found))

    @app.get("/api/window")
    def window_view(
        scene: InScene,
        versus: InVersus,
        tensor: str,
        quantity: QuantityName = "value",
        lead: str = "",
        level: IntParameter = 0,
        top: IntParameter = 0,
        left: IntParameter = 0,
        height: Annotated[IntParameter, Query(le=MAX_WINDOW_SIZE)] = MAX_WINDOW_SIZE,
        width: Annotated[IntParameter, Query(le=MAX_WINDOW_SIZE)] = MAX_WINDOW_SIZE,
    ) -> Response:
        with session.lock:
            values = read_tensor(session, scene, tensor, quantity, versus.scene(scene))
            found = cut_window(values, parse_index(lead), level, top, left, height, width)
        return tensors_response(found)

    @app.get("/api/number")
    def number_view(
        scene: InScene,
        versus: InVersus,
        tensor: str,
        index: str = "",
        quantity: QuantityName = "value",
    ) -> Response:
        with session.lock:
            element = parse_index(index)
            number = explain_number(session, scene, tensor, element, quantity, versus.scene(scene))
        return json_response(number.to_dict())

    @app.get("/api/text")
    def text_view(scene: InScene, sequence: IntParameter = 0) -> Response:
        with session.lock:
            folder = session.folder(scene.folder)
            found = read_sequence(session.trace(scene), folder.tokenizer, sequence=sequence)
        return json_response(asdict(found))

    @app.get("/api/vocabulary")
    def vocabulary_view(folder: IntParameter = 0) -> Response:
        with session.lock:
            opened = session.folder(folder)
        tokens = tokens_of(opened.tokenizer, range(opened.config.vocab_size))
        return json_response({"tokens": tokens})

    @app.get("/api/steps")
    def steps_view(folder: IntParameter = 0) -> Response:
        with session.lock:
            run = session.folder(folder).require_replay()
            return json_response({"records": [vars(record) for record in run.records]})

    @app.get("/api/trial")
    def trial_view() -> Response:
        return json_response({"command": TRIAL_COMMAND, "steps": TRIAL_STEPS})

    @app.get("/api/documents")
    def documents_view(step: IntParameter, folder: IntParameter = 0) -> Response:
        with session.lock:
            return json_response(
                {"documents": session.folder(folder).require_replay().documents(step)}
            )


def _add_jobs(app: FastAPI, session: Session) -> None:
    """Add the routes that take seconds: lines of JSON with progress, then with the result."""

    def stream(job: jobs.JobRequest) -> Response:
        lock = session.lock if job.computes else nullcontext()
        lines = run_job(job.run(session), lock, session.closing)
        return JobResponse(lines)

    @app.post("/api/replay")
    def replay(job: jobs.ReplayRequest) -> Response:
        return stream(job)

    @app.post("/api/life")
    def life(job: jobs.LifeRequest) -> Response:
        return stream(job)

    @app.post("/api/teachers")
    def teachers(job: jobs.TeachersRequest) -> Response:
        return stream(job)

    @app.post("/api/without")
    def without(job: jobs.WithoutRequest) -> Response:
        return stream(job)

    @app.post("/api/edited")
    def edited(job: jobs.EditedRequest) -> Response:
        return stream(job)

    @app.post("/api/write")
    def write(job: jobs.WriteRequest) -> Response:
        return stream(job)

    @app.post("/api/thought")
    def thought(job: jobs.ThoughtRequest) -> Response:
        return stream(job)

    @app.post("/api/train")
    def train(job: jobs.TrainRequest) -> Response:
        return stream(job)


def parse_index(text: str) -> tuple[int, ...]:
    """Parse the index of an element, such as "0,3,5"; an empty text gives (), that of a scalar.

    Raises:
        UsageError: if the text is not a list of whole numbers of at most 9 digits, separated by
            commas.
    """
    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    if not all(re.fullmatch("[0-9]{1,9}", part) for part in parts):
        raise UsageError(f"{text[:40]!r} is no index: write it as 0,3,5")
    return tuple(map(int, parts))
