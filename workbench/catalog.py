"""Which engines there are: the folders of `engines/` and the plug-ins of other distributions."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import engines
from engines.contract import FAMILIES, Engine
from workbench.errors import UnknownEngine
from workbench.redaction import redact

GROUP = "workbench.engines"
"""Entry-point group in which a distribution offers engines: `key = "package:ENGINE"`."""

DISTRIBUTION = "paper-workbench"


@dataclass(frozen=True)
class Origin:
    """Where an engine comes from: the module that exports it, its distribution and version."""

    module: str
    distribution: str
    version: str


@dataclass(frozen=True)
class Catalog:
    """The engines of this installation, by family, and one sentence for each that could not be loaded."""

    engines: Mapping[str, Engine]
    broken: Mapping[str, str]
    origins: Mapping[str, Origin]

    @classmethod
    def load(cls) -> Catalog:
        """Find and import all engines. One that fails to import is listed in `broken`, the rest still work."""
        return cls.of([*_built_in(), *_plug_ins()])

    @classmethod
    def of(cls, found: Iterable[tuple[str, Engine | str, Origin]]) -> Catalog:
        """The catalogue of (key, engine or what is wrong with it, origin); the first of a key wins."""
        good: dict[str, Engine] = {}
        broken: dict[str, str] = {}
        origins: dict[str, Origin] = {}
        for key, engine, origin in found:
            fault = engine if isinstance(engine, str) else _fault(key, engine)
            if fault is None and key in good:
                key, fault = f"{key} ({origin.distribution})", f"the key {key} is already taken"
            if fault is not None or isinstance(engine, str):
                broken[key] = f"{key} from {origin.module} cannot be used: {fault}."
                continue
            good[key] = engine
            origins[key] = origin
        order = sorted(
            good, key=lambda key: (list(FAMILIES).index(good[key].paper.family), _title(good[key]))
        )
        return cls(
            MappingProxyType({key: good[key] for key in order}),
            MappingProxyType(broken),
            MappingProxyType({key: origins[key] for key in order}),
        )

    def engine(self, key: str) -> Engine:
        """The engine of that key; raises UnknownEngine, also with the reason why one is broken."""
        if key in self.engines:
            return self.engines[key]
        raise UnknownEngine(key, self.engines, self.broken.get(key, ""))

    def version(self, key: str) -> str:
        """Version of the distribution that the engine comes from."""
        return self.origins[key].version

    def by_family(self) -> dict[str, list[Engine]]:
        """Engines of each family that has any, in the order of the tabs."""
        families: dict[str, list[Engine]] = {}
        for engine in self.engines.values():
            families.setdefault(engine.paper.family, []).append(engine)
        return families


def _title(engine: Engine) -> str:
    return engine.paper.short.casefold()


def _built_in() -> Iterator[tuple[str, Engine | str, Origin]]:
    """The folders `engines/<family>/<key>/` that have an experiment (others hold what a family shares)."""
    version = _version(DISTRIBUTION)
    for family in FAMILIES:
        for root in engines.__path__:
            for folder in sorted(Path(root, family).glob("*/experiment.py")):
                key = folder.parent.name
                module = f"engines.{family}.{key}"
                yield key, _load(module), Origin(module, DISTRIBUTION, version)


def _load(module: str) -> Engine | str:
    """The module's ENGINE, or what is wrong with it."""
    try:
        loaded = importlib.import_module(module)
    except (Exception, SystemExit) as error:
        # An engine under construction or with a missing dependency must not take the others down.
        return _failed(error)
    engine = getattr(loaded, "ENGINE", None)
    return engine if isinstance(engine, Engine) else "it exports no ENGINE made with engines.contract.Engine"


def _failed(error: BaseException) -> str:
    """A loader's words name the file that it could not load: its last part is enough, wherever this is shown."""
    return redact(f"importing it failed with {type(error).__name__}: {error}").rstrip(".")


def _plug_ins() -> Iterator[tuple[str, Engine | str, Origin]]:
    """What other distributions offer in the entry-point group."""
    for point in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda point: point.name):
        distribution = point.dist.name if point.dist else point.module
        origin = Origin(point.module, distribution, point.dist.version if point.dist else "")
        try:
            engine = point.load()
        except (Exception, SystemExit) as error:
            yield point.name, _failed(error), origin
            continue
        yield point.name, engine if isinstance(engine, Engine) else "it is no engines.contract.Engine", origin


def _fault(key: str, engine: Engine) -> str | None:
    """What an engine's declaration lacks, so that nobody meets it only in mid-run."""
    if engine.key != key:
        return f"its paper's key is {engine.key!r}"
    if engine.paper.family not in FAMILIES:
        return f"its family {engine.paper.family!r} is none of {', '.join(FAMILIES)}"
    missing = [name for name in ("smoke", "default", "paper") if name not in engine.presets]
    if missing:
        return f"it has no preset {' and no preset '.join(missing)}"
    return None


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""
