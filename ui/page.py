"""What the page asks and what it is answered: one handler for what the reader does, one for addresses, one for
what goes on. Each answer is a short list of messages to forms and stages; static/js/core.js hands them on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from html import escape
from typing import Any

from engines.contract import Engine
from engines.validation import FieldError
from storage import Run, Status
from ui import address, form, home, live, sweep_form
from ui.address import Target
from ui.form_fields import plain, preset_values, read_values
from ui.views import View, view_for
from workbench import sweep_access
from workbench.access import OWNER, Access
from workbench.errors import InvalidParams, UnknownEngine, UnknownRun, WorkbenchError
from workbench.runs import Workbench
from workbench.sweeps import SWEEP

Message = dict[str, Any]
MAX_FOLLOWED = 4


@dataclass
class Answer:
    """Messages for the page; whether anything that it shows goes on (None: it says nothing of that); where to take the reader."""

    messages: list[Message] = field(default_factory=list)
    timer: bool | None = None
    place: Target | None = None


class Page:
    """The handlers of one served page. Holds no state of a reader: what a page shows, it tells."""

    def __init__(self, workbench: Workbench, access: Access | None = None) -> None:
        self.workbench = workbench
        self.access = access or Access(workbench)
        self.works_in_requests = workbench.settings.works_in_requests
        self.view: Callable[[str], View] = cache(lambda key: view_for(key, workbench.catalog))
        self.acts: Mapping[str, Callable[[Mapping[str, Any], str], Answer]] = {
            "run": self.run,
            "stop": self.stop,
            "follow": self.follow,
            "check": self.check,
            "command": self.command,
            "ask": self.ask,
            "forget_kept": self.forget_kept,
            "reopen": self.reopen,
            "fork": self.fork,
            "home": self.home,
            "sweep": self.sweep,
        }

    # Forms

    def run(self, asked: Mapping[str, Any], owner: str) -> Answer:
        """Record a run and hand it over; invalid settings are answered at their fields and nothing is made."""
        engine = self.workbench.catalog.engine(str(asked.get("engine")))
        try:
            made = self.access.submit(
                owner,
                engine.key,
                read_values(engine.params, _mapping(asked.get("values"))),
                preset=str(asked.get("preset") or "default"),
                seed=_seed(asked.get("seed")),
                parent_id=asked.get("parent") or None,
                start=not self.works_in_requests,
            )
        except InvalidParams as error:
            return Answer([_errors(engine, error)])
        except WorkbenchError as error:
            return Answer([_errors(engine, InvalidParams([FieldError("", None, str(error))]))])
        message = self._patch(made.id, 0, owner)
        messages: list[Message] = [{"kind": "errors", "engine": engine.key, "errors": {}}, message]
        if self.works_in_requests:
            messages.append({"kind": "work", "run": made.id})
        return Answer(messages, timer=not message["over"])

    def sweep(self, asked: Mapping[str, Any], owner: str) -> Answer:
        """Record a sweep of the settings as they stand and go to its page; what is wrong stands at its field or
        under the axes, and nothing is made."""
        engine = self.workbench.catalog.engine(str(asked.get("engine")))
        try:
            plan = sweep_form.plan_of(engine, asked, _seed(asked.get("seed")))
            made = sweep_access.create(self.access, owner, plan)
        except InvalidParams as error:
            return Answer([sweep_form.errors(engine, error, asked)])
        except WorkbenchError as error:
            return Answer([{"kind": "errors", "engine": engine.key, "errors": {}, "sweep": str(error)}])
        cleared: Message = {"kind": "errors", "engine": engine.key, "errors": {}, "sweep": ""}
        return Answer([cleared, {"kind": "goto", "search": address.query(sweep=made.run.id)}])

    def work(self, run_id: str, owner: str) -> None:
        """Execute a queued run inside this request, where the host lends its GPU to requests (ZeroGPU)."""
        self.access.require_change(owner, self.workbench.run(run_id), "start")
        if self.works_in_requests:
            self.workbench.start(run_id)

    def check(self, asked: Mapping[str, Any], owner: str) -> Answer:
        """What Run would say of the settings as they stand."""
        engine = self.workbench.catalog.engine(str(asked.get("engine")))
        errors: Mapping[str, str] = {}
        try:
            values = read_values(engine.params, _mapping(asked.get("values")))
            self.access.validate(owner, engine.key, values, str(asked.get("preset") or "default"))
            _seed(asked.get("seed"))
        except InvalidParams as error:
            errors = _errors(engine, error)["errors"]
        return Answer([{"kind": "checked", "errors": errors}])

    def command(self, asked: Mapping[str, Any], owner: str) -> Answer:
        """The command and the Python lines for the settings as they stand, valid or not."""
        engine = self.workbench.catalog.engine(str(asked.get("engine")))
        preset = str(asked.get("preset") or "default")
        values = {
            name: plain(value)
            for name, value in read_values(engine.params, _mapping(asked.get("values"))).items()
        }
        try:
            values = self.workbench.validate(engine.key, values, preset).model_dump(mode="json")
            seed = _seed(asked.get("seed"))
        except InvalidParams as error:
            html = (
                f'<p class="wb-help">There is no command while a setting is invalid. {escape(str(error))}</p>'
            )
            return Answer([{"kind": "command", "html": html}])
        subject = (engine.key, values, preset, seed)
        html = form.command_markup(self.workbench.command_line(subject), self.workbench.python_code(subject))
        return Answer([{"kind": "command", "html": html}])

    # Runs

    def stop(self, asked: Mapping[str, Any], owner: str) -> Answer:
        """Ask a run to stop; it keeps everything so far."""
        run = self.workbench.run(str(asked.get("run")))
        self.access.require_change(owner, run, "stop")
        self.workbench.cancel(run.id)
        return self.follow(asked, owner)

    def ask(self, asked: Mapping[str, Any], owner: str) -> Answer:
        """Ask a run under way for something that its engine can do between two steps."""
        run = self.workbench.run(str(asked.get("run")))
        self.access.require_change(owner, run, "ask")
        self.workbench.ask(run.id, str(asked.get("what")))
        words = "Asked. The run answers at its next step."
        return Answer([{"kind": "notice", "engine": run.engine, "html": f"<p>{words}</p>"}])

    def forget_kept(self, asked: Mapping[str, Any], owner: str) -> Answer:
        """Delete what a run has kept to be asked."""
        run = self.workbench.run(str(asked.get("run")))
        self.access.require_change(owner, run, "change")
        self.workbench.forget_kept(run.id)
        notice = {
            "kind": "notice",
            "engine": run.engine,
            "html": "<p>Forgotten. The rest of the record stays.</p>",
        }
        return Answer([self._patch(run.id, 0, owner), notice])

    def follow(self, asked: Mapping[str, Any], owner: str) -> Answer:
        """What is new of a run since the version that the page has."""
        message = self._patch(str(asked.get("run")), plain_number(asked.get("since")), owner)
        return Answer([message], timer=not message["over"])

    def _patch(self, run_id: str, since: int, viewer: str) -> Message:
        run = self.workbench.run(run_id)
        engine = self.workbench.catalog.engine(run.engine)
        guest = viewer if self.access.is_guest(viewer) else None
        return live.patch(self.workbench, engine, self.view(engine.key), run_id, since, guest=guest)

    def reopen(self, asked: Mapping[str, Any], owner: str) -> Answer:
        """The settings of a run back into the form."""
        return Answer([self._filled(str(asked.get("run")), owner, as_fork=False)])

    def fork(self, asked: Mapping[str, Any], owner: str) -> Answer:
        """The settings of a run into the form, and the next run remembers where they came from."""
        message = self._filled(str(asked.get("run")), owner, as_fork=True)
        words = "The form holds this run's settings. Change one and press Run: the new run remembers this one as its parent."
        return Answer([message, {"kind": "notice", "engine": message["engine"], "html": f"<p>{words}</p>"}])

    def _filled(self, run_id: str, viewer: str, *, as_fork: bool) -> Message:
        run = self.workbench.run(run_id)
        values = {name: plain(value) for name, value in run.params.items()}
        return {
            "kind": "form",
            "engine": run.engine,
            "preset": run.preset,
            "values": values,
            "seed": run.seed,
            "parent": run.id if as_fork else self._parent(run, viewer),
        }

    def _parent(self, run: Run, viewer: str) -> str | None:
        """What the next run of this one's settings remembers as its parent. A guest's makes no cell of a sweep, and names
        no run that the guest's lists do not show."""
        parent = run.parent_id
        if parent is None or not self.access.is_guest(viewer):
            return parent
        is_known = parent in self.access.known(viewer, [parent])
        return parent if is_known and self.workbench.run(parent).engine != SWEEP else None

    def home(self, asked: Mapping[str, Any], owner: str) -> Answer:
        """The cards with their last runs."""
        shown = home.latest(self.workbench, lambda query: self.access.listed(owner, query))
        html = home.markup(self.workbench, shown, for_guests=self.access.is_guest(owner))
        return Answer([{"kind": "home", "html": html}])

    # The three ways in

    def act(self, asked: Any, owner: str) -> Answer:
        """Something that the reader did."""
        asked = _mapping(asked)
        handler = self.acts.get(str(asked.get("do")))
        engine = str(asked.get("engine") or "")
        if handler is None:
            return Answer()
        try:
            return handler(asked, owner)
        except WorkbenchError as error:
            notice = {"html": f"<p>{escape(str(error))}</p>", "tone": "bad"}
            return Answer(
                [{"kind": "notice", "engine": engine, **notice} if engine else {"kind": "page", **notice}]
            )

    def go(self, search: str, owner: str) -> Answer:
        """Take the reader where an address leads: the tab, the form as it says, the run followed."""
        target = address.parse(search)
        try:
            return self._go(target, owner)
        except (UnknownRun, UnknownEngine) as error:
            words = f"<p>{escape(str(error))} {_help_for(error)}</p>"
            messages = [{"kind": "page", "html": words, "tone": "bad"}, {"kind": "address", "search": ""}]
            return Answer(messages, place=Target("home"))

    def _go(self, target: Target, owner: str) -> Answer:
        if target.kind == "run":
            run = self.workbench.run(target.run)
            if run.engine == SWEEP:
                return Answer(
                    [{"kind": "address", "search": address.query(sweep=run.id)}], place=Target("library")
                )
            if run.engine not in self.workbench.catalog.engines:
                # Recorded by code outside, or by an engine that is not installed here: the Library shows it.
                return Answer(
                    [{"kind": "address", "search": address.query(compare=run.id)}], place=Target("library")
                )
            message = self._patch(run.id, 0, owner)
            messages = [self._filled(run.id, owner, as_fork=False), message]
            if self.works_in_requests and run.status is Status.queued and run.owner == owner:
                messages.append(
                    {"kind": "work", "run": run.id}
                )  # the request of the page before went with it
            place = Target("engine", engine=run.engine)
            return Answer(messages, timer=not message["over"], place=place)
        if target.kind != "engine":
            return Answer(place=target)
        engine = self.workbench.catalog.engine(target.engine)
        messages: list[Message] = []
        if target.source:
            messages.append(self._filled(target.source, owner, as_fork=True))
        elif target.filled:
            messages.append(_given(engine, target.filled))
        elif target.preset in engine.presets:
            values = preset_values(engine, target.preset)
            messages.append({"kind": "form", "engine": engine.key, "preset": target.preset, "values": values})
        if messages:
            messages.insert(0, {"kind": "detach", "engine": engine.key})
        return Answer(messages, place=target)

    def tick(self, followed: Any, viewer: str = OWNER) -> Answer:
        """What is new of the runs that the page shows, and whether any of them goes on."""
        asked = [_mapping(one) for one in followed[:MAX_FOLLOWED]] if isinstance(followed, list) else []
        messages = []
        for one in asked:
            try:
                messages.append(self._patch(str(one.get("run")), plain_number(one.get("since")), viewer))
            except UnknownRun as error:
                engine = str(one.get("engine"))
                notice = f"<p>{escape(str(error))} It was deleted meanwhile.</p>"
                messages += [
                    {"kind": "detach", "engine": engine},
                    {"kind": "notice", "engine": engine, "html": notice},
                ]
        alive = any(message["kind"] == "live" and not message["over"] for message in messages)
        return Answer(messages, timer=alive)


def _errors(engine: Engine, error: InvalidParams) -> Message:
    by_field: dict[str, str] = {}
    for one in error.errors:
        by_field[one.field] = (
            f"{by_field[one.field]} {one.sentence}" if one.field in by_field else one.sentence
        )
    return {"kind": "errors", "engine": engine.key, "errors": form.field_errors(by_field, engine)}


def _given(engine: Engine, filled: Mapping[str, Any]) -> Message:
    """Settings out of an address; what the engine does not know is left out, the rest is checked at Run."""
    params = _mapping(filled.get("params"))
    seed = filled.get("seed")
    return {
        "kind": "form",
        "engine": engine.key,
        "preset": str(filled.get("preset") or "default"),
        "values": {
            name: plain(value) for name, value in params.items() if name in engine.params.model_fields
        },
        "seed": seed if isinstance(seed, int) else None,
    }


def _seed(given: Any) -> int | None:
    """The seed of the form: None where it is empty."""
    text = str(given if given is not None else "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isdigit():
        sentence = f"seed must be a whole number from 0 to {2**32 - 1}; got {text[:40]!r}."
        raise InvalidParams([FieldError("seed", given, sentence)])
    return int(text)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def plain_number(value: Any) -> int:
    """A version as a page sends it; 0 for whatever else it may have sent."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


def _help_for(error: WorkbenchError) -> str:
    if isinstance(error, UnknownRun):
        return 'It may have been deleted, or it belongs to another workbench. The <a data-wb href="?view=library">Library</a> has what is recorded here.'
    return "These are the papers of this workbench."


def numbered(answer: Answer, reply_to: int = 0) -> dict[str, Any]:
    """An answer as the wire carries it. `at` makes each one differ from the last, or the page would not see it."""
    return {"id": reply_to, "at": time.monotonic_ns(), "do": answer.messages}
