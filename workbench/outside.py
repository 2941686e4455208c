"""Recording from code that is no engine of ours: a training script, a notebook.

    import workbench

    with workbench.record("my engine", {"rate": 0.1}, seed=3) as run:
        for step in range(100):
            run.scalar("loss", loss, step=step)

The run stands in the Library at once and can be watched, compared and exported like any other."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.contract import Engine, Paper, Params, Preset
from engines.events import Alert, Array, Axis, Event, Picture, Progress, Scalar, Table, Text
from storage import Run, Status, StorageError, jsontext
from workbench import environment
from workbench.catalog import Catalog
from workbench.errors import StorageTrouble, UsageError, storage_seam
from workbench.execution import worker_name
from workbench.failures import explain
from workbench.recorder import TRACEBACK, Pulse
from workbench.redaction import redact
from workbench.runs import Workbench
from workbench.settings import Settings
from workbench.sweeps import SWEEP
from workbench.transcript import Transcript
from workbench.values import seed_of, tags_of

NAME = re.compile(r"[^\x00-\x1f/\\]{1,80}")


class OutsideRun:
    """The pen of a run. Each method keeps one thing; it is durable within half a second."""

    def __init__(self, bench: Workbench, run: Run, headline: tuple[str, str], scratch: Path) -> None:
        self.id = run.id
        self._writer = bench.store.writer(run.id)
        self._pulse = Pulse(bench.store, run.id, self._writer, None, None, bench.settings.grace_s)
        self._transcript = Transcript(self._writer, run, stand_in(run.engine, headline), scratch)
        self._started = time.perf_counter()
        self._counts: dict[tuple[str, str], int] = {}
        self._is_over = False
        self._pulse.start()

    @property
    def stop_requested(self) -> bool:
        """Whether somebody pressed Stop. What to do about it is the script's own business."""
        return self._pulse.wish() is not None

    def scalar(self, name: str, value: float, step: float | None = None, series: str = "run") -> None:
        """One point of a curve. Without `step` the next whole number of that curve."""
        place = (series, name)
        count = self._counts[place] = self._counts.get(place, 0) + 1
        self.say(Scalar(series, name, count - 1 if step is None else step, float(value)))

    def scalars(self, values: Mapping[str, float], step: float | None = None, series: str = "run") -> None:
        """Several curves at one step."""
        for name, value in values.items():
            self.scalar(name, value, step, series)

    def picture(
        self, name: str, pixels: NDArray[np.uint8], step: float = 0, caption: str = "", *, keep: bool = True
    ) -> None:
        """An image: uint8, H x W x 3. Without `keep` the next one of the name replaces it."""
        self.say(Picture(name, step, np.asarray(pixels), caption, keep))

    def array(
        self, name: str, values: Any, step: float = 0, axes: Sequence[Axis] = (), *, keep: bool = True
    ) -> None:
        """Numbers on axes; without `axes` each is counted from 0."""
        found = np.asarray(values)
        named = axes or [Axis(f"axis {place}", np.arange(size)) for place, size in enumerate(found.shape)]
        self.say(Array(name, step, found, named, keep))

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """A small table; a later one of the name replaces it."""
        self.say(Table(name, columns, rows))

    def text(self, name: str, value: str) -> None:
        """A named text; a later one of the name replaces it."""
        self.say(Text(name, value))

    def alert(self, name: str, message: str, step: float = 0) -> None:
        """Something that the reader must know."""
        self.say(Alert(name, step, message))

    def progress(self, done: float, total: float, note: str = "") -> None:
        """How far the run is."""
        self.say(Progress(done, total, note))

    def say(self, event: Event) -> None:
        """Any event of `engines.events`. Raises EngineFault for one that cannot be kept, StorageError where nothing can,
        UsageError after the end of the run."""
        if self._is_over:
            raise UsageError(f"Run {self.id} is over; record inside the with block of workbench.record.")
        if self._pulse.failure is not None:
            raise self._pulse.failure
        self._transcript.write(event, time.perf_counter() - self._started)

    def close(self, trace: str = "") -> None:
        """Make the rest durable. From here on nothing is taken."""
        self._is_over = True
        self._pulse.stop()
        if trace:
            self._writer.text(TRACEBACK, trace)
        self._writer.close()


@contextmanager
def record(
    engine: str,
    params: Mapping[str, Any] | None = None,
    *,
    seed: int | None = 0,
    tags: str | Iterable[str] = (),
    note: str = "",
    headline: tuple[str, str] = ("run", "loss"),
    settings: Settings | None = None,
) -> Iterator[OutsideRun]:
    """Record what happens inside the `with` as one run. An exception ends it as failed, with its traceback kept, and goes on;
    Ctrl+C as cancelled.

    Args:
        engine: a name of your own, at most 80 characters; not the key of an engine that is installed here.
        params: what was chosen: text, numbers, yes or no, lists and objects of these.
        seed: a whole number from 0 to 4294967295; None counts as 0.
        tags: one text is one tag.
        headline: (series, name) of the curve whose last value stands for the run in lists.
        settings: where the records are; by default as `WORKBENCH_HOME` and its siblings say.

    Raises:
        UsageError: the name is taken or cannot be used; a seed, a tag or a parameter is none.
    """
    chosen, words, values = seed_of(seed), tags_of(tags), _recordable(params or {})
    with Workbench.open(settings or Settings.from_environment(), Catalog.load()) as bench:
        if not NAME.fullmatch(engine) or engine in bench.catalog.engines or engine == SWEEP:
            raise UsageError(
                f"A name of your own has 1 to 80 characters, no slash, and is no installed engine's; got {engine[:80]!r}."
            )
        with storage_seam():
            made = bench.store.create_run(
                engine=engine, params=values, seed=chosen, tags=words, note=note, headline=headline,
                environment=environment.describe("cpu"),
            )  # fmt: skip
            if not bench.store.claim_run(made.id, worker_name()):
                raise StorageTrouble(f"Run {made.id} was taken by another process.")
        with tempfile.TemporaryDirectory(prefix="workbench-record-") as scratch:
            run = OutsideRun(bench, made, headline, Path(scratch))
            try:
                yield run
            except BaseException as error:
                _end(bench, run, error)
                raise
            run.close()
            status = Status.cancelled if run.stop_requested else Status.finished
            bench.store.finish_run(run.id, status)


def _recordable(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters, each of a kind that is kept. Raises UsageError that names the first which is not."""
    for name, value in params.items():
        if not isinstance(name, str):
            raise UsageError(f"The name of a parameter must be a text; got {name!r}.")
        if not _is_kept(value):
            raise UsageError(
                f"params[{name!r}] must be made of text, numbers, lists and objects; got {_kind(value)}. "
                "Write it as text with str(...), or as a list with .tolist()."
            )
    return dict(params)


def _kind(value: Any) -> str:
    """What is wrong with a value: its own class, or that of the first thing in it that cannot be kept."""
    if isinstance(value, Mapping):
        return next(
            (_kind(item) for item in value.values() if not _is_kept(item)), "an object with other keys"
        )
    if isinstance(value, list | tuple):
        return next((_kind(item) for item in value if not _is_kept(item)), type(value).__name__)
    return f"a {type(value).__name__}"


def _is_kept(value: Any) -> bool:
    try:
        jsontext.dumps(value)
    except (StorageError, ValueError, RecursionError):
        return False
    return True


def _end(bench: Workbench, run: OutsideRun, error: BaseException) -> None:
    """Write down how the run ended that an exception stopped."""
    if isinstance(error, KeyboardInterrupt | GeneratorExit):
        run.close()
        bench.store.finish_run(run.id, Status.cancelled, "Stopped from the keyboard.", "Interrupted")
        return
    failure = explain(error)
    run.close(failure.trace)
    sentence = failure.sentence.replace("The engine stopped with", "The code stopped with")
    bench.store.finish_run(run.id, Status.failed, redact(sentence), failure.kind)


def stand_in(name: str, headline: tuple[str, str] = ("", "")) -> Engine:
    """What readers know of a run whose engine is not installed here: its name, and nothing that could be started."""
    return Engine(
        paper=Paper(key=name, title=name, authors=(), year=0, family="", summary="Recorded by code that is not installed here.", short=name),
        params=Params,
        run=_cannot,
        claims=(),
        presets={"default": Preset("Default", "As it was recorded.")},
        headline=headline,
        about=Path(),
    )  # fmt: skip


def _cannot(params: Any, context: Any) -> Any:
    raise UsageError("This run was recorded by code outside the workbench, and is repeated by that code.")
