"""One list of checks for every engine: those of this distribution, installed plug-ins, the example, the fixture.

Each engine's smoke preset is run once through the recorder; the tests look at its events and its record.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from smoke_run import Smoke

from engines.contract import Context, Engine
from engines.events import Event
from workbench.catalog import Catalog, Origin
from workbench.runs import Workbench
from workbench.settings import Settings

ROOT = Path(__file__).parents[2]
EXTRA = {
    "fixture_engine": ROOT / "tests" / "fixture_plugin" / "fixture_engine",
    "heavy_ball": ROOT / "docs" / "examples" / "plugin" / "heavy_ball",
}
SEED = 1

_durations: dict[str, float] = {}


def _load(name: str, folder: Path) -> Any:
    """A package from its folder, without a change of the import path that other tests would see."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, folder / "__init__.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


def _everything() -> Catalog:
    loaded = Catalog.load()
    found = [(key, loaded.engines[key], loaded.origins[key]) for key in loaded.engines]
    for name, folder in EXTRA.items():
        engine = _load(name, folder).ENGINE
        if engine.key not in loaded.engines:
            found.append((engine.key, engine, Origin(name, name, "1.0")))
    return replace(Catalog.of(found), broken=loaded.broken)


CATALOG = _everything()


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """All engines under test."""
    return CATALOG


@pytest.fixture(scope="module", params=list(CATALOG.engines))
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn."""
    return CATALOG.engines[request.param]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """A workbench with all engines that executes inside the call."""
    settings = Settings.at(tmp_path_factory.mktemp("home"), executor="inline", device="cpu")
    with Workbench.open(settings, CATALOG) as opened:
        yield opened


@pytest.fixture(scope="module")
def smoke(bench: Workbench, engine: Engine) -> Smoke:
    """The engine's smoke preset, run once through the recorder."""
    events: list[Event] = []
    started = time.perf_counter()
    created = bench.create(engine.key, preset="smoke", seed=SEED)
    run = bench.run_inline(created.id, on_event=events.append)
    _durations[engine.key] = time.perf_counter() - started
    params = bench.validate(engine.key, {}, "smoke")
    return Smoke(bench, engine, params, events, run, bench.record(run.id))


@pytest.fixture
def speak(engine: Engine, tmp_path: Path) -> Any:
    """Runs the engine's smoke preset without a recorder; answers its events."""

    def go(seed: int = SEED) -> list[Event]:
        scratch = tmp_path / f"scratch-{seed}" / "run"
        scratch.mkdir(parents=True)
        params = engine.params.model_validate(engine.preset("smoke"))
        return list(engine.run(params, Context("cpu", seed, scratch)))

    return go


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Report how long each smoke preset took; no test asserts it."""
    if _durations:
        terminalreporter.section("smoke presets")
        for key, seconds in _durations.items():
            terminalreporter.line(f"{key:<24} {seconds:6.2f} s")
