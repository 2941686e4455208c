"""The run service: everything that a page, the command line and Python do with runs goes through `Workbench`."""

from __future__ import annotations

import mimetypes
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

from engines.contract import Params, Refusal
from engines.validation import FieldError
from storage import ArtifactNotFound, Record, Run, RunPage, RunQuery, Status, Store
from workbench.catalog import Catalog
from workbench.dispatcher import Dispatcher, mark_dead
from workbench.errors import FileTrouble, InvalidParams, RunIsActive, UnknownRun, UsageError, storage_seam
from workbench.execution import Bench, check_inputs, execute, safe_name
from workbench.executors import Executor, make_executor
from workbench.following import follow
from workbench.inquiry import Inquirer, Told
from workbench.recipes import Recipe
from workbench.recorder import OnEvent, Stop, StopWish
from workbench.settings import Settings
from workbench.unattended import cancel_unattended
from workbench.values import params_of, seed_of, tags_of

SHORTEST_ENDING = 4
LISTED_FOR_ENDING = 5000

Subject: TypeAlias = Run | tuple[str, Mapping[str, Any], str, int]
"""A recorded run, or (engine, params, preset, seed) of one that does not exist yet."""


class Workbench:
    """Create, start, follow, cancel, fork and delete runs. Safe to share between threads.

    Raises errors of `workbench.errors` only, each with one sentence for its reader."""

    def __init__(self, settings: Settings, catalog: Catalog, store: Store) -> None:
        self.settings = settings
        self.catalog = catalog
        self.store = store
        self._bench = Bench(settings, store, catalog)
        self._lock = threading.Lock()
        self._executor: Executor | None = None
        self._dispatcher: Dispatcher | None = None
        self._inquirer = Inquirer()
        self._only: frozenset[str] | None = None

    @classmethod
    def open(cls, settings: Settings, catalog: Catalog | None = None) -> Self:
        """Open the store (made where there is none). Nothing is executed before `start` or `look_around`."""
        with storage_seam():
            settings.home.mkdir(parents=True, exist_ok=True)
            store = Store.open(settings.database_url, settings.artifacts_url, wal=settings.wal)
        return cls(settings, Catalog.load() if catalog is None else catalog, store)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the workers (their runs become interrupted) and close the store."""
        if self._dispatcher is not None:
            self._dispatcher.close()
        if self._executor is not None:
            self._executor.shutdown()
        self._inquirer.close()
        self.store.close()

    # Before a run

    def validate(self, engine_key: str, values: Mapping[str, Any], preset: str | None = None) -> Params:
        """The preset's values (none: the defaults) with `values` over them. Raises InvalidParams, UnknownEngine."""
        return params_of(self.catalog.engine(engine_key), values, preset)

    def check(self, engine_key: str, values: Mapping[str, Any], preset: str | None = None) -> Params:
        """As `validate`, and the engine looks at its uploads too."""
        params = self.validate(engine_key, values, preset)
        self.look_over(engine_key, params)
        return params

    def look_over(self, engine_key: str, params: Params) -> None:
        """The engine's own look at valid parameters and their uploads; large files take it seconds. Raises InvalidParams."""
        with storage_seam():
            try:
                check_inputs(self.store, self.catalog.engine(engine_key), params)
            except Refusal as error:
                value = getattr(params, error.field, None)
                raise InvalidParams([FieldError(error.field, value, error.sentence)]) from error
            except ArtifactNotFound as error:
                raise InvalidParams([FieldError("", None, str(error))]) from error

    def ingest(self, source: Path | str | bytes, name: str = "") -> str:
        """Store a file; answers `sha256:<hash>/<name>`, the value of an upload field. Raises FileTrouble."""
        shown = safe_name(name or ("file" if isinstance(source, bytes) else str(source)))
        media_type = mimetypes.guess_type(shown)[0] or "application/octet-stream"
        with storage_seam():
            if isinstance(source, bytes):
                content_hash = self.store.artifacts.put(source, media_type, shown)
            elif Path(source).is_file():
                content_hash = self.store.artifacts.put_file(Path(source), media_type, shown)
            else:
                raise FileTrouble(f"There is no file {shown!r}.")
        return f"sha256:{content_hash}/{shown}"

    def create(
        self,
        engine_key: str,
        values: Mapping[str, Any] | None = None,
        *,
        preset: str = "default",
        seed: int | None = None,
        owner: str = "local",
        parent_id: str | None = None,
        tags: Iterable[str] = (),
        note: str = "",
    ) -> Run:
        """A new queued run; `seed` defaults to 0. All checks, the engine's own included, are made before there
        is a row. Raises InvalidParams, UnknownEngine, UnknownRun (for the parent)."""
        params = self.check(engine_key, values or {}, preset)
        return self.enter(
            engine_key,
            params,
            preset=preset,
            seed=seed,
            owner=owner,
            parent_id=parent_id,
            tags=tags,
            note=note,
        )

    def enter(
        self,
        engine_key: str,
        params: Params,
        *,
        preset: str,
        seed: int | None = None,
        owner: str = "local",
        parent_id: str | None = None,
        tags: Iterable[str] = (),
        note: str = "",
    ) -> Run:
        """The row of a new queued run whose parameters were checked already: takes milliseconds, whatever they are.
        Raises InvalidParams for the seed, UsageError for a tag, UnknownRun for the parent."""
        engine = self.catalog.engine(engine_key)
        chosen, words = seed_of(seed), tags_of(tags)
        with storage_seam():
            if parent_id is not None:
                self.store.run(parent_id)
            return self.store.create_run(
                engine=engine_key,
                params=params.model_dump(mode="json"),
                seed=chosen,
                preset=preset,
                owner=owner,
                parent_id=parent_id,
                tags=words,
                note=note,
                engine_version=self.catalog.version(engine_key),
                headline=engine.headline,
            )

    # Executing

    def execute_only(self, run_ids: Iterable[str]) -> None:
        """From here on this workbench hands only these runs to workers: a command that ends soon must not take
        what waits for a server."""
        self._only = frozenset(run_ids)
        if self._dispatcher is not None:
            self._dispatcher.only = self._only

    def get_ready(self) -> None:
        """Make the executor, so that one that cannot be had is told before there is a run. It takes nothing out of the
        queue that `execute_only` does not name. Raises UsageError, BadSetting."""
        self._execute_with()

    def start(self, run_id: str) -> None:
        """See to it that a queued run is executed: at once with the inline executor (this returns at its end),
        otherwise by a worker as soon as one is free."""
        executor = self._execute_with()
        with storage_seam():
            if self._dispatcher is not None:
                self._dispatcher.wake()
            else:
                executor.submit(run_id)

    def submit(self, engine_key: str, values: Mapping[str, Any] | None = None, **options: Any) -> Run:
        """`create` and `start` in one; takes the options of `create`. Answers the run as it then stands."""
        if self._executor is None:
            self.check(engine_key, values or {}, options.get("preset", "default"))
            self.get_ready()
        run = self.create(engine_key, values, **options)
        self.start(run.id)
        return self.run(run.id)

    def run_inline(
        self,
        run_id: str,
        on_event: OnEvent | None = None,
        stop: StopWish | None = None,
        on_stuck: Callable[[Stop], None] | None = None,
    ) -> Run:
        """Execute a queued run in this thread and answer it at its end. Should a server on the same database
        have taken it first, this follows it there."""
        with storage_seam():
            if execute(self._bench, run_id, stop=stop, on_event=on_event, on_stuck=on_stuck) is None:
                return self.follow(run_id, stop=stop)
            return self.store.run(run_id)

    def follow(
        self,
        run_id: str,
        *,
        stop: StopWish | None = None,
        poll_s: float = 0.2,
        on_look: Callable[[Run], None] | None = None,
    ) -> Run:
        """Wait for the end of a run that is executed elsewhere. A wish to stop cancels it; `on_look` sees its row
        now and then."""
        return follow(self, run_id, stop=stop, poll_s=poll_s, on_look=on_look)

    def cancel(self, run_id: str) -> None:
        """Ask a run to stop. A queued one is cancelled at once, a running one at its next step, and its worker is
        killed after the grace period; one that is over stays as it is."""
        with storage_seam():
            run = self.store.run(run_id)
            if run.status.is_over:
                return
            # Also for a queued run: a worker may be claiming it this very moment.
            self.store.send_command(run_id, "cancel")
            if run.status is Status.queued:
                self.store.finish_run(run_id, Status.cancelled, "Cancelled before it started.", "Cancelled")
            if self._executor is not None:
                self._executor.stop(run_id, self.settings.grace_s)

    def ask(self, run_id: str, action: str) -> None:
        """Ask a running run for one of its engine's actions; it answers at its next step. Raises UsageError for an
        action that the engine does not have, and for a run that is not running."""
        run = self.run(run_id)
        known = self.catalog.engine(run.engine).actions
        if action not in known:
            words = ", ".join(known) or "none"
            raise UsageError(f"{run.engine} has no action {action!r}; its actions: {words}.")
        if run.status is not Status.running:
            raise UsageError(f"Run {run_id} is {run.status}; only a running one can be asked.")
        with storage_seam():
            self.store.send_command(run_id, "do", {"name": action})

    def inquire(self, run_id: str, question: str) -> Told:
        """Put a question to what a run has kept, in a process of its own; it need not be running, nor have run here.

        Raises UsageError where the engine cannot be asked, the run kept nothing, or the question is refused; RunFailed
        where there is no answer."""
        run = self.run(run_id)
        inquiry = self.catalog.engine(run.engine).inquiry
        if inquiry is None:
            raise UsageError(f"Runs of {run.engine} cannot be asked.")
        kept = [file for file in self.record(run_id).files() if file.name.startswith(inquiry.files)]
        if not kept:
            raise UsageError("This run has kept nothing that could be asked.")
        with storage_seam():
            paths = [self.store.artifacts.local_path(file.hash) for file in kept]
        return self._inquirer.ask(run.engine, inquiry, paths, question)

    def forget_kept(self, run_id: str) -> None:
        """Delete what a run has kept to be asked; the rest of its record stays. Raises RunIsActive for one under way."""
        run = self.run(run_id)
        inquiry = self.catalog.engine(run.engine).inquiry
        if inquiry is None:
            raise UsageError(f"Runs of {run.engine} keep nothing that could be asked.")
        if not run.status.is_over:
            raise RunIsActive(f"Run {run_id} is still {run.status}. Stop it first.")
        with storage_seam():
            self.store.remove_files(run_id, inquiry.files)

    def look_around(self) -> None:
        """Mark runs whose workers are gone as interrupted, remove files that nobody needs, and let queued runs
        start. A server calls it once at its start; from then on a thread looks after the runs by itself."""
        executor = self._execute_with()
        self.mark_dead()
        cancel_unattended(self)
        with storage_seam():
            self.store.artifacts.sweep()
        if self._dispatcher is not None:
            self._dispatcher.wake()
        else:
            executor.prepare(0)

    def under_way(self) -> tuple[str, ...]:
        """The runs that this process's executor has in hand."""
        return () if self._executor is None else self._executor.active()

    def mark_dead(self) -> list[str]:
        """Mark runs whose workers are gone as interrupted, and nothing else; answers their ids."""
        with storage_seam():
            for run_id in self.under_way():
                self.store.heartbeat(run_id)
            return mark_dead(self._bench)

    # A run and what becomes of it

    def run(self, run_id: str) -> Run:
        """The row of a run. Raises UnknownRun."""
        with storage_seam():
            return self.store.run(run_id)

    def record(self, run_id: str) -> Record:
        """All that a run recorded. Raises UnknownRun."""
        with storage_seam():
            return self.store.record(run_id)

    def runs(self, query: RunQuery | None = None) -> RunPage:
        """One page of the list of runs."""
        with storage_seam():
            return self.store.runs(query or RunQuery())

    def find(self, text: str) -> Run:
        """The run of an id, of an ending of one (from four characters on), or the newest for "last".

        Raises UnknownRun, also where an ending fits several."""
        with storage_seam():
            if text == "last":
                rows = self.store.runs(RunQuery(limit=1)).rows
                if not rows:
                    raise UnknownRun("There are no runs yet.")
                return rows[0].run
            if len(text) < SHORTEST_ENDING or len(text) >= 26:
                return self.store.run(text)
            rows = self.store.runs(RunQuery(text=text, limit=LISTED_FOR_ENDING)).rows
        fitting = [row.run for row in rows if row.run.id.endswith(text.lower())]
        if not fitting:
            raise UnknownRun(f"There is no run whose id ends in {text!r}.")
        if len(fitting) > 1:
            raise UnknownRun(f"{len(fitting)} runs have ids that end in {text!r}; write more of it.")
        return fitting[0]

    def fork(
        self, run_id: str, changes: Mapping[str, Any] | None = None, seed: int | None = None, **options: Any
    ) -> Run:
        """A new queued run with the parameters and seed of another, `changes` over them, and a link to it.
        Takes the options of `create`."""
        parent = self.run(run_id)
        engine = self.catalog.engine(parent.engine)
        preset = parent.preset if parent.preset in engine.presets else "default"
        options = {"preset": preset, **options}
        values = {**parent.params, **(changes or {})}
        return self.create(
            parent.engine, values, seed=parent.seed if seed is None else seed, parent_id=parent.id, **options
        )

    def delete(self, run_id: str) -> None:
        """Delete a run with all that it recorded. A queued one is cancelled first; a running one is refused with
        RunIsActive, since its worker is still writing."""
        run = self.run(run_id)
        if run.status is Status.queued:
            self.cancel(run_id)
            run = self.run(run_id)
        if not run.status.is_over:
            raise RunIsActive(f"Run {run_id} is still {run.status}. Stop it first, then delete it.")
        with storage_seam():
            self.store.delete_run(run_id)

    def tag(self, run_id: str, tags: Iterable[str]) -> None:
        """Give a run these tags and no others."""
        words = tags_of(tags)
        with storage_seam():
            self.store.set_tags(run_id, words)

    def note(self, run_id: str, text: str) -> None:
        """Write a note to a run; an empty one takes it away."""
        with storage_seam():
            self.store.set_note(run_id, text)

    def command_line(self, subject: Subject) -> str:
        """The command that repeats a run."""
        return self._recipe(subject).command_line()

    def python_code(self, subject: Subject) -> str:
        """The Python lines that repeat a run."""
        return self._recipe(subject).python_code()

    def _recipe(self, subject: Subject) -> Recipe:
        if isinstance(subject, Run):
            return Recipe.of_run(self.catalog, subject)
        return Recipe.of(self.catalog, *subject)

    def _execute_with(self) -> Executor:
        """The executor, with its dispatcher; both made at the first need."""
        with self._lock:
            if self._executor is None:
                self._executor = make_executor(self._bench)
                if self._executor.needs_dispatcher:
                    self._dispatcher = Dispatcher(self._bench, self._executor)
                    self._dispatcher.only = self._only
                    self._executor.on_change = self._dispatcher.wake
                    self._dispatcher.start()
            return self._executor
