"""Who may do what. On one's own machine everybody at the page is its owner; on a demo guests are kept apart.

`viewer` is the name under which somebody's runs are recorded: OWNER, a guest's own name, or NOBODY for a program
that does not say who it is. A run's id is its key: whoever has it may look, and nobody can guess it (80 random bits).
"""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from engines.contract import Params, upload_fields
from storage import Run, RunQuery, Status
from workbench.demo_limits import DemoLimits, check_params
from workbench.documents import Document, parent_of, public
from workbench.errors import FileTrouble, InvalidParams, UsageError, storage_seam
from workbench.inquiry import Told
from workbench.runs import Workbench
from workbench.sweeps import SWEEP
from workbench.turns import HOUR_S, Hourly, Turns
from workbench.unattended import cancel_unattended
from workbench.uploads import accepted_endings, inspect

OWNER = "local"
NOBODY = "visitor"
PUBLISHED = "published"
"""The tag with which the owner shows a run to everybody."""
DAY_S = 86400.0
SIZE_GOOD_FOR_S = 15.0
"""For so long is the size of the records good that was looked up."""
CROWD = 2
"""Programs without a name have together as much room as so many guests."""
WHO = ("You have", "Programs without a visitor's cookie have")
QUESTIONS, GUESTS_QUESTION = 60, 200
"""Questions to finished runs that a guest may ask in an hour, and their greatest length in characters."""
EXPORTS = 120
"""Exports that a guest may ask for in an hour."""
ASKED_AT_ONCE, LOOKED_AT_ONCE, EXPORTED_AT_ONCE = 3, 2, 2
"""Questions, uploads before a start, and exports that guests together have under way: each holds a thread of the server."""


class Access:
    """Everything is allowed: a workbench of one's own."""

    is_demo = False
    max_upload_bytes = 512 << 20

    def __init__(self, workbench: Workbench) -> None:
        self.workbench = workbench
        self.awaited: Callable[[], Collection[str]] = tuple
        """The runs whose requests wait for their turn, where runs are executed in requests: the page knows."""

    def is_guest(self, viewer: str) -> bool:
        """Whether limits hold for the viewer."""
        return False

    def submit(
        self,
        viewer: str,
        engine: str,
        values: Mapping[str, Any],
        *,
        preset: str = "default",
        seed: int | None = None,
        parent_id: str | None = None,
        start: bool = True,
    ) -> Run:
        """Record a run of the viewer's, and with `start` start it. Raises as `Workbench.create` does."""
        run = self.workbench.create(
            engine, values, preset=preset, seed=seed, owner=viewer, parent_id=parent_id
        )
        return self._started(run) if start else run

    def require_room(self, viewer: str, runs: int) -> None:
        """Raises UsageError where the viewer may not start so many runs more as things stand."""

    @contextmanager
    def room_for(self, viewer: str, runs: int) -> Iterator[None]:
        """Inside it the viewer may record so many runs more; nothing slow belongs there. Raises UsageError where that
        is too many."""
        yield

    @contextmanager
    def looking(self, viewer: str, *, at_files: bool) -> Iterator[None]:
        """Inside it an engine looks at what the viewer wants to run, and what it refuses counts as a start: a large file
        takes it seconds. Raises UsageError where too many of them are being looked at."""
        yield

    def _started(self, run: Run) -> Run:
        self.workbench.start(run.id)
        return self.workbench.run(run.id)

    def validate(self, viewer: str, engine: str, values: Mapping[str, Any], preset: str) -> None:
        """What `submit` would say of these values."""
        self.workbench.validate(engine, values, preset)

    def upload(self, viewer: str, data: bytes, name: str) -> str:
        """Store a file, and answer its reference."""
        return self.workbench.ingest(data, name)

    def inquire(self, viewer: str, run_id: str, question: str) -> Told:
        """Put a question to what a run has kept."""
        return self.workbench.inquire(run_id, question)

    @contextmanager
    def exporting(self, viewer: str) -> Iterator[None]:
        """Inside it an export of the viewer's is written. Raises TooEarly where others are, UsageError for too many."""
        yield

    def may_change(self, viewer: str, run: Run) -> bool:
        """Whether the viewer may stop, annotate or delete the run."""
        return True

    def require_change(self, viewer: str, run: Run, verb: str = "change") -> None:
        """Raises UsageError where the viewer may not."""
        if not self.may_change(viewer, run):
            raise UsageError(f"Only who started a run can {verb} it.")

    def may_import(self, viewer: str) -> bool:
        """Whether the viewer may bring bundles in."""
        return True

    def listed(self, viewer: str, query: RunQuery) -> RunQuery:
        """The query, narrowed to what the viewer's lists may show."""
        return query

    def require_upload(self, viewer: str) -> None:
        """Raises UsageError where the viewer may upload nothing as things stand: before a file is received."""

    def tidy(self) -> None:
        """Remove what nobody needs any more: a server does it every few minutes."""
        cancel_unattended(self.workbench, self.awaited())
        with storage_seam():
            self.workbench.store.artifacts.expire()

    def shown(self, viewer: str, document: Document) -> Document:
        """A run's row or document as the viewer may read it."""
        return self.all_shown(viewer, [document])[0]

    def all_shown(self, viewer: str, documents: Sequence[Document]) -> list[Document]:
        """Rows or documents of runs as the viewer may read them."""
        return list(documents)

    def known(self, viewer: str, run_ids: Iterable[str]) -> set[str]:
        """Those of the ids that the viewer's own lists may show: whoever is told an id may open its run."""
        return set(run_ids)


class Demo(Access):
    """Guests see their own runs and those that the owner published, and everything they do has a limit."""

    is_demo = True

    def __init__(self, workbench: Workbench, limits: DemoLimits | None = None) -> None:
        super().__init__(workbench)
        self.limits = limits or DemoLimits()
        self.max_upload_bytes = self.limits.upload_mb << 20
        # One at a time from the look at the limits to the new row, or a burst would slip through together.
        self._gate = threading.Lock()
        self._starts, self._uploads, self._questions, self._exports = Hourly(), Hourly(), Hourly(), Hourly()
        self._asking = Turns(
            ASKED_AT_ONCE,
            "Your question before is being answered. Ask again when it is.",
            "As many questions are being answered as this demo takes at a time. Ask again in a moment.",
        )
        self._looking = Turns(
            LOOKED_AT_ONCE,
            "A file of yours is being looked at for another start. Try again in a moment.",
            "As many files are being looked at as this demo takes at a time. Try again in a moment.",
        )
        self._exporting = Turns(
            EXPORTED_AT_ONCE,
            "An export of yours is being written. Try again when it is there.",
            "As many exports are being written as this demo takes at a time. Try again in a moment.",
        )
        self._volume: deque[tuple[float, int]] = deque()
        self._size = (-math.inf, 0)
        self._endings = accepted_endings(workbench.catalog.engines.values())

    def is_guest(self, viewer: str) -> bool:
        return viewer != OWNER

    def submit(
        self,
        viewer: str,
        engine: str,
        values: Mapping[str, Any],
        *,
        preset: str = "default",
        seed: int | None = None,
        parent_id: str | None = None,
        start: bool = True,
    ) -> Run:
        if not self.is_guest(viewer):
            return super().submit(
                viewer, engine, values, preset=preset, seed=seed, parent_id=parent_id, start=start
            )
        if parent_id is not None and self.workbench.run(parent_id).engine == SWEEP:
            raise UsageError(f"Run {parent_id} is a sweep, which only its own cells name as their parent.")
        # What costs nothing comes first; a file is looked at outside the gate, or everybody else's start would wait.
        params = self._validated(viewer, engine, values, preset)
        self.require_room(viewer, 1)
        files = any(getattr(params, name) for name in upload_fields(type(params)))
        with self.looking(viewer, at_files=files):
            self.workbench.look_over(engine, params)
        with self.room_for(viewer, 1):
            run = self.workbench.enter(
                engine, params, preset=preset, seed=seed, owner=viewer, parent_id=parent_id
            )
        return self._started(run) if start else run

    def require_room(self, viewer: str, runs: int) -> None:
        if self.is_guest(viewer):
            with self._gate:
                self._check_room(viewer, runs)

    @contextmanager
    def room_for(self, viewer: str, runs: int) -> Iterator[None]:
        if not self.is_guest(viewer):
            yield
            return
        with self._gate:
            self._check_room(viewer, runs)
            yield
            for _ in range(runs):
                self._starts.note(viewer)

    @contextmanager
    def looking(self, viewer: str, *, at_files: bool) -> Iterator[None]:
        is_guest = self.is_guest(viewer)
        with self._looking.of(viewer) if is_guest and at_files else nullcontext():
            try:
                yield
            except InvalidParams:
                if is_guest:
                    self._starts.note(viewer)
                raise

    def validate(self, viewer: str, engine: str, values: Mapping[str, Any], preset: str) -> None:
        self._validated(viewer, engine, values, preset)

    def _validated(self, viewer: str, engine: str, values: Mapping[str, Any], preset: str) -> Params:
        params = self.workbench.validate(engine, values, preset)
        if self.is_guest(viewer):
            check_params(self.workbench.catalog.engine(engine), params, self.limits)
        return params

    def upload(self, viewer: str, data: bytes, name: str) -> str:
        if not self.is_guest(viewer):
            return super().upload(viewer, data, name)
        self.require_upload(viewer)
        try:
            inspect(data, name, self._endings)
        except FileTrouble:
            self._uploads.note(viewer)
            raise
        now = time.monotonic()
        with self._gate:
            while self._volume and now - self._volume[0][0] > HOUR_S:
                self._volume.popleft()
            self._check_uploads(viewer)
            if sum(size for _, size in self._volume) + len(data) > self.limits.uploads_mb << 20:
                raise UsageError("This demo has taken as many uploads as it can in an hour. Try again later.")
            self._volume.append((now, len(data)))
            self._uploads.note(viewer)
        return self.workbench.ingest(data, name)

    def inquire(self, viewer: str, run_id: str, question: str) -> Told:
        if self.is_guest(viewer):
            if len(question) > GUESTS_QUESTION:
                raise UsageError(
                    f"question must have at most {GUESTS_QUESTION} characters on this demo; got {len(question)}. Ask something shorter."
                )
            if self._questions.count(viewer) >= QUESTIONS:
                raise UsageError(
                    f"You have asked {QUESTIONS} questions in the last hour, as many as this demo takes."
                )
            with self._asking.of(viewer):
                self._questions.note(viewer)
                return super().inquire(viewer, run_id, question)
        return super().inquire(viewer, run_id, question)

    @contextmanager
    def exporting(self, viewer: str) -> Iterator[None]:
        if not self.is_guest(viewer):
            yield
            return
        if self._exports.count(viewer) >= EXPORTS:
            raise UsageError(
                f"You have exported {EXPORTS} times in the last hour, as often as this demo takes."
            )
        with self._exporting.of(viewer):
            self._exports.note(viewer)
            yield

    def may_change(self, viewer: str, run: Run) -> bool:
        return not self.is_guest(viewer) or (run.owner == viewer and viewer != NOBODY)

    def require_change(self, viewer: str, run: Run, verb: str = "change") -> None:
        # A program without a name may at least stop what a program without a name started: it has the id.
        if verb in ("start", "stop", "ask") and run.owner == viewer:
            return
        super().require_change(viewer, run, verb)

    def may_import(self, viewer: str) -> bool:
        return not self.is_guest(viewer)

    def require_upload(self, viewer: str) -> None:
        if self.is_guest(viewer):
            self._check_uploads(viewer)
            self._check_disk()

    def tidy(self) -> None:
        """Also the runs of guests that ended long ago. Nothing of the owner's goes."""
        before = time.time() - self.limits.keep_days * DAY_S
        with storage_seam():
            for run_id in self.workbench.store.ended_before(before, not_of=OWNER):
                self.workbench.store.delete_run(run_id)
        super().tidy()

    def listed(self, viewer: str, query: RunQuery) -> RunQuery:
        if not self.is_guest(viewer):
            return query
        # Programs without a name are many people: none of them is shown what the others started.
        owner = "" if viewer == NOBODY else viewer
        return dataclasses.replace(query, owner=owner, shared=(OWNER, PUBLISHED))

    def all_shown(self, viewer: str, documents: Sequence[Document]) -> list[Document]:
        if not self.is_guest(viewer):
            return list(documents)
        known = self.known(viewer, filter(None, map(parent_of, documents)))
        return [public(document, known) for document in documents]

    def known(self, viewer: str, run_ids: Iterable[str]) -> set[str]:
        wanted = set(run_ids)
        if not self.is_guest(viewer) or not wanted:
            return wanted
        query = self.listed(viewer, RunQuery(ids=tuple(wanted), limit=len(wanted)))
        return {row.run.id for row in self.workbench.runs(query).rows}

    def _check_uploads(self, viewer: str) -> None:
        if self._uploads.count(viewer) >= self.limits.uploads:
            raise UsageError(
                f"You have uploaded {self.limits.uploads} files in the last hour, as many as this demo takes."
            )

    def _check_disk(self) -> None:
        """Raises UsageError where the records take as much as they may; their size is looked at now and then."""
        at, used = self._size
        if time.monotonic() - at > SIZE_GOOD_FOR_S:
            with storage_seam():
                used = self.workbench.store.size()
            self._size = time.monotonic(), used
        if used >= self.limits.disk_mb << 20:
            raise UsageError(
                f"The records of this demo take {used >> 20:,} MB, and {self.limits.disk_mb:,} MB is all that it keeps. Look at the published runs, or install the workbench."
            )

    def _check_room(self, viewer: str, wanted: int = 1) -> None:
        """Raises UsageError where this guest, or all of them, have as much under way as the demo takes."""
        limits, crowd = self.limits, CROWD if viewer == NOBODY else 1
        cancel_unattended(self.workbench, self.awaited())
        most = min(crowd * limits.runs, limits.queue)
        if wanted > most:
            raise UsageError(
                f"A sweep of {wanted} cells is more than this demo runs for you at a time ({most}). Take fewer values or seeds, or install the workbench."
            )
        # The cheapest question first: it is the one with which a flood is answered.
        waiting = len(self.workbench.store.queued())
        if waiting + wanted > limits.queue:
            raise UsageError(
                f"{waiting} runs are waiting, as many as this demo queues. Try again in a minute."
            )
        self._check_disk()
        if self._starts.count(viewer) + wanted > crowd * limits.hourly:
            many = f"{crowd * limits.hourly} runs in the last hour"
            raise UsageError(
                f"{WHO[viewer == NOBODY]} started {many}, as many as this demo takes. Try again later."
            )
        under_way = (Status.queued, Status.running)
        mine = self.workbench.runs(RunQuery(owner=viewer, statuses=under_way, limit=1)).total
        if mine + wanted > crowd * limits.runs:
            raise UsageError(
                f"{WHO[viewer == NOBODY]} {mine} runs under way, as many as this demo takes. Wait for one of them, or stop it."
            )
