"""What the page shows of an engine's run: its figures, how its pictures stand, the order of its tables.

An engine with a module `ui/tabs/<family>/<key>.py` brings its own `VIEW`; any other engine, plug-ins included,
gets the default view: a figure for each scalar name with all contenders, and one for each array.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

from engines.contract import Engine
from storage import Changes, PictureInfo, Record
from ui.figures import Axis, Figure, Head, empty
from workbench.catalog import Catalog

Build: TypeAlias = Callable[[Record, Head], Figure]
Values: TypeAlias = Mapping[str, Any]


BEFORE = ", before"


def _always(params: Values) -> bool:
    return True


@dataclass(frozen=True)
class FigureSpec:
    """One figure of a view. `draw` makes it from a record; `reads` holds patterns of what it is made of
    ("series:error*", "array:spectrum", "table:*", "claims"): it is drawn again when one of them changed.
    `when` says for which parameters it has something to show; `awaits` what an empty one promises."""

    key: str
    title: str
    subtitle: str
    draw: Build
    reads: tuple[str, ...]
    height: int = 320
    wide: bool = False
    awaits: str = "Appears with the first numbers."
    when: Callable[[Values], bool] = _always
    x: Axis = field(default_factory=Axis)
    y: Axis = field(default_factory=Axis)

    @property
    def head(self) -> Head:
        return Head(self.title, self.subtitle, self.height, self.key)

    def build(self, record: Record) -> Figure:
        """The figure of this record, the empty frame where it holds nothing for it yet."""
        figure = self.draw(record, self.head)
        return figure if figure["data"] else self.empty()

    def empty(self) -> Figure:
        """The frame in its final size, before anything exists."""
        return empty(self.head, self.awaits, self.x, self.y)

    def wants(self, changes: Changes) -> bool:
        """Whether what changed is part of this figure."""
        return any(fnmatchcase(name, pattern) for name in _changed(changes) for pattern in self.reads)


def _changed(changes: Changes) -> set[str]:
    names = {f"series:{name}" for _, name in changes.series}
    names |= {f"array:{name}" for name in changes.arrays}
    names |= {f"table:{name}" for name in changes.tables}
    names |= {f"text:{name}" for name in changes.texts}
    names |= {f"picture:{name}" for name in changes.pictures}
    return names | ({"claims"} if changes.claims else set())


@dataclass(frozen=True)
class Strip:
    """The pictures of one name over the steps of a run, oldest first."""

    name: str
    label: str
    frames: tuple[PictureInfo, ...]
    emphasised: bool = False
    before: PictureInfo | None = None
    """What it was at first: the page lays it over the picture, with a cut that the reader drags."""

    @property
    def newest(self) -> PictureInfo:
        return self.frames[-1]


@dataclass(frozen=True)
class PictureLayout:
    """How pictures stand: `order` holds patterns of names, the rest follows in order of appearance; `labels`
    words for names; `winner` the pattern of what is framed in the accent; `pixelated` for small pixels that
    must stay crisp when they are enlarged. A picture named "<name>, before" is what `<name>` was at first. With `first`
    the pictures stand above the figures, and `awaits` says what will stand there."""

    order: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    winner: str = ""
    pixelated: bool = True
    title: str = "Pictures"
    step: str = "step"
    first: bool = False
    awaits: str = ""

    def arrange(self, pictures: Sequence[PictureInfo]) -> list[Strip]:
        """The pictures of a record as strips, in the layout's order."""
        by_name: dict[str, list[PictureInfo]] = {}
        for picture in pictures:
            by_name.setdefault(picture.name, []).append(picture)
        first = {
            name.removesuffix(BEFORE): by_name.pop(name)[-1] for name in [*by_name] if name.endswith(BEFORE)
        }
        names = sorted(by_name, key=lambda name: self._place(name))
        return [
            Strip(
                name,
                self.label(name),
                tuple(by_name[name]),
                bool(self.winner) and fnmatchcase(name, self.winner),
                first.get(name),
            )
            for name in names
        ]

    def label(self, name: str) -> str:
        """The words for a picture: those of the layout, else the last part of its name."""
        return self.labels.get(name) or name.rsplit("/", 1)[-1]

    def _place(self, name: str) -> int:
        fitting = (place for place, pattern in enumerate(self.order) if fnmatchcase(name, pattern))
        return next(fitting, len(self.order))


@dataclass(frozen=True)
class View:
    """All that is shown of a run. `figures` holds what is known before a run; `found` finds more in a record
    (the default view knows its figures only from there)."""

    figures: tuple[FigureSpec, ...]
    pictures: PictureLayout = field(default_factory=PictureLayout)
    tables: tuple[str, ...] = ()
    lead: str = ""
    """Name of the table that stands above the figures."""
    compared: Mapping[str, str] = field(default_factory=dict)
    """Name of a table to its column of true texts: the columns behind it are coloured by the words that they share."""
    found: Callable[[Record], tuple[FigureSpec, ...]] | None = None

    def specs(self, params: Values, record: Record | None = None) -> tuple[FigureSpec, ...]:
        """The figures for a run with these parameters; with its record also those that only it can tell."""
        known = tuple(spec for spec in self.figures if spec.when(params))
        if self.found is None or record is None:
            return known
        return self.found(record) or known

    def table_names(self, names: Iterable[str]) -> list[str]:
        """Names of tables in the view's order, others behind."""
        places = {name: place for place, name in enumerate(self.tables)}
        return sorted(names, key=lambda name: places.get(name, len(places)))


def view_for(engine_key: str, catalog: Catalog) -> View:
    """The view of an engine: its own module's VIEW, else the default. Raises UnknownEngine."""
    engine = catalog.engine(engine_key)
    module = f"ui.tabs.{engine.paper.family}.{engine_key}"
    if _exists(module):
        view = importlib.import_module(module).VIEW
        if not isinstance(view, View):
            raise TypeError(f"{module}.VIEW must be a View; got {type(view).__name__}.")
        return view
    return default_view(engine)


def _exists(module: str) -> bool:
    """Whether there is such a module; a family without any view of its own has no package either."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def default_view(engine: Engine) -> View:
    """The view of an engine that brings none."""
    from ui.figures_default import figures_of

    method = engine.headline[0]
    waiting = FigureSpec(
        "first",
        "Figures of this run",
        "One for each measured quantity, all contenders together.",
        lambda record, head: empty(head, ""),
        ("series:*", "array:*"),
        wide=True,
        awaits="Appear with the first numbers of the run.",
    )
    return View((waiting,), found=lambda record: figures_of(record, method, engine.lower_is_better))
