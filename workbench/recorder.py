"""Drives an engine's generator and keeps what it says.

The engine's thread writes into the store's buffer; a second thread, the pulse, makes it durable five times in two
seconds, gives signs of life while the engine is silent, and takes the commands that readers left for the run.
So a long silent step delays nothing that was said before it. Each beat finds the processor's caches full of the
engine's numbers and takes milliseconds of its time: hence one beat for everything, and no more of them than it
takes to keep within half a second what was said.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal

from engines.contract import Context, Engine, Params
from engines.events import Command, Event
from storage import CommandRow, Kind, Notices, Run, Status, StorageError, Store, Writer
from workbench.failures import EngineFault, explain, trace_of
from workbench.transcript import Transcript

BEAT_S = 0.4
"""The pulse makes events durable and looks for commands at least this often, in seconds."""
LATEST_FLUSH_S = 0.5
"""The engine's own thread flushes after this long, where the engine kept the pulse from running (compiled code
that holds the interpreter's lock)."""
BATCH_EVENTS = 5000
SIGN_OF_LIFE_S = 2.0
QUIET_COMMANDS_S = 2.0
"""Between two looks for commands where the database tells of them by itself."""
TRACEBACK = "traceback"
"""Name of the text that holds a failed run's traceback. Pages for visitors do not show it."""


@dataclass(frozen=True)
class Stop:
    """A wish that the run ends early, the status that it then gets, and why."""

    status: Status
    reason: str = ""
    kind: str = ""


CANCEL = Stop(Status.cancelled)

StopWish = Callable[[], Stop | None]
OnEvent = Callable[[Event], None]


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    status: Status
    error: str = ""
    kind: str = ""
    trace: str = ""


def record_run(
    store: Store,
    run: Run,
    engine: Engine,
    params: Params,
    context: Context,
    *,
    stop: StopWish | None = None,
    on_event: OnEvent | None = None,
    on_stuck: Callable[[Stop], None] | None = None,
    grace_s: float = 10.0,
) -> Status:
    """Run the engine to its end and record everything that it says; answers the status that the run got.

    `run` must have been claimed by the caller. `stop` is asked before each step; `on_event` sees each event
    after it is recorded. `on_stuck` is called from the pulse when an engine that was asked to stop has not
    come back for `grace_s` seconds.

    Raises KeyboardInterrupt after the run was closed and marked as cancelled, and StorageError where not even
    the end of the run could be written down.
    """
    writer = store.writer(run.id)
    pulse = Pulse(store, run.id, writer, stop, on_stuck, grace_s)
    transcript = Transcript(writer, run, engine, context.scratch)
    interrupt: KeyboardInterrupt | None = None
    pulse.start()
    try:
        outcome = _drive(engine, params, context, transcript, pulse, on_event)
    except KeyboardInterrupt as error:
        interrupt, outcome = error, Outcome(Status.cancelled, "Stopped from the keyboard.", "Interrupted")
    finally:
        pulse.stop()
    outcome = _seal(writer, transcript, outcome)
    store.finish_run(run.id, outcome.status, outcome.error, outcome.kind)
    if interrupt is not None:
        raise interrupt
    return outcome.status


class Pulse(threading.Thread):
    """Flushes, signs of life and commands of one run, beside its engine's thread."""

    def __init__(
        self,
        store: Store,
        run_id: str,
        writer: Writer,
        stop: StopWish | None,
        on_stuck: Callable[[Stop], None] | None,
        grace_s: float,
    ) -> None:
        super().__init__(name=f"pulse-{run_id}", daemon=True)
        self.commands: deque[Command] = deque()
        self.failure: StorageError | None = None
        self._store, self._run_id, self._writer = store, run_id, writer
        self._outer_stop, self._on_stuck, self._grace_s = stop, on_stuck, grace_s
        self._woken = threading.Event()
        self._is_over = self._cancelled = False
        self._news: Notices | None = None
        self._is_asked = True
        self._stop_seen_at: float | None = None
        self.flushed_at = self._commands_at = time.perf_counter()

    def wish(self) -> Stop | None:
        """Whether the run should end now. Cheap: asked before each step of the engine."""
        if self._cancelled:
            return CANCEL
        return self._outer_stop() if self._outer_stop is not None else None

    def flush(self) -> None:
        """Make everything so far durable."""
        self._writer.flush()
        self.flushed_at = time.perf_counter()

    def run(self) -> None:
        """Beat until stopped. A store that cannot be written ends the beating; the engine's thread finds the
        failure at its next step."""
        self._news = self._store.news()
        with self._news.told(self._hear) if self._news else nullcontext():
            self._beat_until_stopped()

    def _hear(self, kind: Kind, run_id: str) -> None:
        if run_id == self._run_id or kind == "lost":
            self._is_asked = True
            self._woken.set()

    def _beat_until_stopped(self) -> None:
        while True:
            self._woken.wait(BEAT_S)
            self._woken.clear()
            if self._is_over:
                return
            try:
                self._beat(time.perf_counter())
            except StorageError as error:
                self.failure = error
                return

    def stop(self) -> None:
        """End the beating and wait for the last one."""
        self._is_over = True
        self._woken.set()
        self.join()

    def _beat(self, now: float) -> None:
        quiet_s = QUIET_COMMANDS_S if self._news and self._news.is_live else 0.0
        if self._is_asked or now - self._commands_at >= quiet_s:
            self._commands_at, self._is_asked = now, False
            for row in self._store.take_commands(self._run_id):
                self._take(row)
        if self._writer.pending or now - self.flushed_at >= SIGN_OF_LIFE_S:
            self.flush()
        self._watch(now)

    def _take(self, row: CommandRow) -> None:
        if row.kind == "cancel":
            self._cancelled = True
        elif row.kind in ("set", "do"):
            name, data = str(row.payload.get("name", "")), dict(row.payload.get("data") or {})
            kind: Literal["set", "do"] = "set" if row.kind == "set" else "do"
            self.commands.append(Command(kind, name, row.payload.get("value"), data))

    def _watch(self, now: float) -> None:
        """Tell whoever can kill that the engine does not answer a wish to stop."""
        wish = self.wish()
        if wish is None or self._on_stuck is None:
            return
        if self._stop_seen_at is None:
            self._stop_seen_at = now
        elif now - self._stop_seen_at >= self._grace_s:
            self.flush()
            self._on_stuck(wish)


def _drive(
    engine: Engine,
    params: Params,
    context: Context,
    transcript: Transcript,
    pulse: Pulse,
    on_event: OnEvent | None,
) -> Outcome:
    """Let the engine speak until it ends, fails, or is asked to stop; its `finally` blocks always run."""
    generator: Generator[Event, Command | None, None] | None = None
    clock = time.perf_counter
    started, events, has_spoken = clock(), 0, False
    try:
        generator = engine.run(params, context)
        if not isinstance(generator, Generator):
            raise EngineFault(f"The run of {engine.key} must be a generator; got {type(generator).__name__}.")
        while True:
            wish = pulse.wish()
            if wish is not None:
                return Outcome(wish.status, wish.reason, wish.kind, _close(generator))
            if pulse.failure is not None:
                raise pulse.failure
            # A command answers a `yield`, so the first one waits until the engine has said something.
            event = generator.send(pulse.commands.popleft() if has_spoken and pulse.commands else None)
            has_spoken = True
            now = clock()
            transcript.write(event, now - started)
            events += 1
            if events >= BATCH_EVENTS or now - pulse.flushed_at >= LATEST_FLUSH_S:
                pulse.flush()
                events = 0
            if on_event is not None:
                on_event(event)
    except StopIteration:
        return Outcome(Status.finished)
    except KeyboardInterrupt:
        _close(generator)
        raise
    except (Exception, SystemExit) as error:
        trace = _close(generator)
        failure = explain(error, context.device)
        return Outcome(Status.failed, failure.sentence, failure.kind, failure.trace + trace)


def _close(generator: Generator[Event, Command | None, None] | None) -> str:
    """Close the engine's generator; answers the traceback of an engine that fails while it tidies up."""
    if not isinstance(generator, Generator):
        return ""
    try:
        generator.close()
    except Exception as error:
        return "While the engine tidied up:\n" + trace_of(error)
    return ""


def _seal(writer: Writer, transcript: Transcript, outcome: Outcome) -> Outcome:
    """Make the rest durable. Where that fails, that is how the run ended, whatever the engine did."""
    try:
        transcript.end()
        if outcome.trace:
            writer.text(TRACEBACK, outcome.trace)
        writer.close()
    except StorageError as error:
        return Outcome(Status.failed, str(error), type(error).__name__)
    return outcome
