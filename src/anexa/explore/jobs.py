"""Jobs of the page, which are computations that take seconds: requests, and their results."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator
from dataclasses import asdict
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from anexa.engines import Batch
from anexa.errors import UsageError
from anexa.explore.replay import Replay, scale_progress
from anexa.explore.scene import InputKind, Scene
from anexa.explore.session import Session
from anexa.explore.switches import parse_edit
from anexa.explore.teachers import compute_ledger, replay_with_edits, replay_without_step
from anexa.explore.thoughts import read_thought
from anexa.explore.trial_run import train_trial_run
from anexa.generation import LanguageModel

MAX_TEXTS = 20  # maximum number of texts that one job generates
MAX_TOKENS = 200  # maximum number of tokens of each of these texts
MAX_LIST_LENGTH = 50  # of each list of steps or documents in the result of a `TeachersRequest`
# Progress of a job, from 0 to 1, when the steps of the run up to `step` have been repeated.
PREPARED_PROGRESS = 0.5

# Yields its progress, from 0 to 1, and returns the result as a JSON object; closing it cancels the
# job.
JobRun = Generator[Any, None, Any]


class JobRequest(BaseModel):
    """Request for a job of the page; base class with the fields of all jobs.

    Attributes:
        folder: id of an open folder.
        step: number of training steps after which the weights are taken; None means the weights
            in the folder.
        edit: switches, as `anexa.explore.switches.parse_edit` reads them.
    """

    # A number must be a number, and an unknown field is an error rather than ignored.
    model_config = ConfigDict(strict=True, extra="forbid")

    computes: ClassVar[bool] = True  # whether the session's lock must be held while the job runs
    folder: int = 0
    step: int | None = None
    edit: list[str] = []

    @abstractmethod
    def run(self, session: Session) -> JobRun:
        """Compute the result of the job, which is the return value of this generator.

        Args:
            session: session of the page, with the open model folders.

        Yields:
            Progress of the job as a fraction, from 0 to 1; closing the generator cancels the job.

        Returns:
            The result, as values that JSON can express; None if the job has none.

        Raises:
            AnexaError: if the request is not valid for the model or its run.
        """

    def prepare(self, session: Session) -> Generator[float, None, float]:
        """Repeat the steps of the run up to `step`, if the request names one, to get the weights.

        Yields:
            The progress of the job.

        Returns:
            The progress at which the work of the job itself begins: 0 or `PREPARED_PROGRESS`.

        Raises:
            AnexaError: if there is no such folder or step, or the steps cannot be repeated.
        """
        if self.step is None:
            return 0.0
        replay = session.folder(self.folder).require_replay()
        yield from scale_progress(replay.state(self.step), PREPARED_PROGRESS)
        return PREPARED_PROGRESS

    def model(self, session: Session, edits: list[str]) -> LanguageModel:
        """Create a model that generates text, with the weights after `step` and with switches.

        Args:
            session: session of the page; `prepare` has repeated the steps up to `step`.
            edits: switches, as `anexa.explore.switches.parse_edit` reads them.

        Raises:
            AnexaError: if there is no such folder, step or switch.
        """
        scene = Scene(self.folder, self.step, edits=tuple(edits))
        return session.folder(self.folder).language_model(session.weights(scene))


class ReplayRequest(JobRequest):
    """Request to repeat the steps of a run up to `step`, whose weights are then in the cache."""

    def run(self, session: Session) -> JobRun:
        """Repeat the steps up to `step`; the job has no result.

        Raises:
            UsageError: if the request has no `step`.
        """
        if self.step is None:
            raise UsageError("a replay needs the step to repeat")
        yield from session.folder(self.folder).require_replay().state(self.step)


class LifeRequest(JobRequest):
    """Request for the values of one element of a weight after each of several steps.

    Attributes:
        tensor: name of the weight.
        index: index of the element.
        first: first step.
        last: last step.
    """

    tensor: str
    index: list[int]
    first: int
    last: int

    def run(self, session: Session) -> JobRun:
        """Compute the element, its gradient and its moments after each of the steps.

        Returns:
            The fields of a `LifePoint` for each step from `first` to `last`, under "points".
        """
        run = session.folder(self.folder).require_replay()
        points = yield from run.life(self.tensor, tuple(self.index), self.first, self.last)
        return {"points": [asdict(point) for point in points]}


class WriteRequest(JobRequest):
    """Request to generate texts without the switches and with them, with the same random numbers.

    Attributes:
        prompt: prompt that the texts continue.
        count: number of texts.
        temperature: sampling temperature; None means the model's own.
        seed: random seed of the first text; the seed of each further text is 1 higher.
    """

    prompt: str = ""
    count: int = Field(default=5, ge=1, le=MAX_TEXTS)
    temperature: float | None = Field(default=None, ge=0, le=100)
    seed: int = Field(default=42, ge=0, lt=2**63)

    def run(self, session: Session) -> JobRun:
        """Generate the texts without the switches and with them.

        Returns:
            The lists of texts "before", without the switches, and "after", with them; both are the
            same if there are no switches.
        """
        begin = yield from self.prepare(session)
        models = {"before": self.model(session, [])}
        if self.edit:
            models["after"] = self.model(session, self.edit)
        texts: dict[str, list[str]] = {name: [] for name in models}
        for i in range(self.count):
            for name, model in models.items():
                options = {"temperature": self.temperature, "seed": self.seed + i}
                options = {key: value for key, value in options.items() if value is not None}
                texts[name].append(model.generate(self.prompt, max_tokens=MAX_TOKENS, **options))
            yield begin + (1 - begin) * ((i + 1) / self.count)
        return {"after": texts["before"]} | texts


class ThoughtRequest(JobRequest):
    """Request for an analysis of the thought of a thinking model about a question.

    Attributes:
        question: text of the question.
    """

    question: str

    def run(self, session: Session) -> JobRun:
        """Answer the question, and analyze the thought as `read_thought` does.

        Returns:
            The fields of the `ThoughtView`.
        """
        yield from self.prepare(session)
        edits = [parse_edit(edit) for edit in self.edit]
        view = yield from read_thought(self.model(session, []), self.question, edits)
        return asdict(view)


class TextLossRequest(JobRequest):
    """Request for a job that follows the loss of a text along the run: base class of such jobs.

    A request has either `text` or `chat`.

    Attributes:
        text: text whose loss is followed.
        chat: question; the text is then the question with the answer of the model in the folder.
        first: number of completed steps at which the job begins; None means the first in the
            history.
        last: last step; None means the last step of the run.
    """

    text: str | None = None
    chat: str | None = None
    first: int | None = None
    last: int | None = None

    def batch(self, session: Session) -> Batch:
        """Create the batch with the text, whose loss is followed.

        Raises:
            UsageError: if the request does not have exactly one of `text` and `chat`.
            AnexaError: if the model cannot read the text.
        """
        inputs: tuple[tuple[InputKind, str | None], ...] = ("text", self.text), ("chat", self.chat)
        present = [(kind, text) for kind, text in inputs if text is not None]
        if len(present) != 1:
            raise UsageError(
                "this job needs a text or a chat question, whose loss it follows: give one of them"
            )
        folder, [(kind, text)] = session.folder(self.folder), present
        return folder.batch(Scene(self.folder, None, kind, text), folder.model.weights)

    def step_range(self, run: Replay) -> tuple[int, int]:
        """Return `first` and `last`, or their defaults for a run."""
        first = run.first_step if self.first is None else self.first
        return first, run.last_step if self.last is None else self.last


class TeachersRequest(TextLossRequest):
    """Request for the changes of the loss of a text by each step and document of the run."""

    def run(self, session: Session) -> JobRun:
        """Compute the ledger: the change of the loss by each step, and the documents' shares.

        Returns:
            The numbers of the `Ledger`; the lists "steps", "losses" and "changes", in nats per
            token, with an entry for each step; the steps that lowered the loss most, "helped", and
            raised it most, "hurt"; and the documents that did, "teachers" and "misleading", out of
            "num_teachers".
        """
        run = session.folder(self.folder).require_replay()
        found = yield from compute_ledger(run, self.batch(session), *self.step_range(run))
        entries = sorted(found.entries, key=lambda entry: entry.change)
        kept = {"first", "last", "loss", "total", "earlier", "decay", "rest", "unshared"}
        return {
            **{name: value for name, value in vars(found).items() if name in kept},
            "steps": [entry.step for entry in found.entries],
            "losses": [entry.loss for entry in found.entries],
            "changes": [entry.change for entry in found.entries],
            "helped": [asdict(e) for e in entries[:MAX_LIST_LENGTH] if e.change < 0],
            "hurt": [asdict(e) for e in entries[: -MAX_LIST_LENGTH - 1 : -1] if e.change > 0],
            "num_teachers": len(found.teachers),
            "teachers": [asdict(t) for t in found.teachers[:MAX_LIST_LENGTH] if t.change < 0],
            "misleading": [
                asdict(t) for t in found.teachers[: -MAX_LIST_LENGTH - 1 : -1] if t.change > 0
            ],
        }


class WithoutRequest(TextLossRequest):
    """Request to train again without a step, and to compare the losses of a text.

    `first` is not used: the job begins before the skipped step.

    Attributes:
        skipped: number of the step that is left out.
    """

    skipped: int

    def run(self, session: Session) -> JobRun:
        """Compute the losses of the text along the run and without the step.

        Returns:
            The fields of the `Counterfactual`.
        """
        run = session.folder(self.folder).require_replay()
        _, last = self.step_range(run)
        batch = self.batch(session)
        return asdict((yield from replay_without_step(run, self.skipped, batch, last)))


class EditedRequest(TextLossRequest):
    """Request to train again from `first` on with switches, and compare the losses of a text."""

    def run(self, session: Session) -> JobRun:
        """Compute the losses of the text along the run and with the switches.

        Returns:
            The fields of the `Counterfactual`.

        Raises:
            UsageError: if the request has no switch.
        """
        if not self.edit:
            raise UsageError("a training with switches needs a switch: set one")
        edits = [parse_edit(edit) for edit in self.edit]
        run = session.folder(self.folder).require_replay()
        first, last = self.step_range(run)
        return asdict((yield from replay_with_edits(run, edits, first, last, self.batch(session))))


class TrainRequest(JobRequest):
    """Request to train a small model on the bundled list of names, and to open it."""

    computes: ClassVar[bool] = False

    def run(self, session: Session) -> JobRun:
        """Train the model into a folder of the session, and open the folder.

        Yields:
            New `records` and `samples`, as `train_trial_run` does, in place of the progress.

        Returns:
            The id of the new folder, under "folder".
        """
        folder = yield from train_trial_run(session.new_path())
        with session.lock:
            return {"folder": session.open(folder)}
