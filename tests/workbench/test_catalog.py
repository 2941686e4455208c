import dataclasses
import sys
from pathlib import Path

import pytest

from engines.contract import FAMILIES
from workbench.catalog import Catalog, Origin
from workbench.errors import UnknownEngine

HERE = Origin("somewhere", "some-distribution", "2.0")


def install(folder: Path, name: str, source: str, entries: dict[str, str]) -> None:
    """Lay a distribution with one module and its entry points into `folder`."""
    (folder / f"{name}.py").write_text(source)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = "\n".join(f"{key} = {target}" for key, target in entries.items())
    (info / "entry_points.txt").write_text(f"[workbench.engines]\n{lines}\n")


def test_plug_in_is_found(plugin: Path) -> None:
    catalog = Catalog.load()
    assert "fixture" in catalog.engines
    assert catalog.origins["fixture"] == Origin("fixture_engine", "fixture-engine", "1.0")
    assert catalog.version("fixture") == "1.0"


def test_built_in_engines_are_ordered_by_family() -> None:
    catalog = Catalog.load()
    families = [engine.paper.family for engine in catalog.engines.values()]
    assert families == sorted(families, key=list(FAMILIES).index)
    assert [engine for group in catalog.by_family().values() for engine in group] == list(
        catalog.engines.values()
    )


def test_a_broken_plug_in_is_told_and_the_others_work(
    tmp_path: Path, plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "bad_import", "import no_such_module_anywhere", {"badimport": "bad_import:ENGINE"})
    install(tmp_path, "bad_exit", "raise SystemExit(3)", {"badexit": "bad_exit:ENGINE"})
    install(tmp_path, "bad_kind", "ENGINE = 3", {"badkind": "bad_kind:ENGINE"})
    monkeypatch.syspath_prepend(str(tmp_path))
    catalog = Catalog.load()
    assert "fixture" in catalog.engines
    assert "no_such_module_anywhere" in catalog.broken["badimport"]
    assert "SystemExit" in catalog.broken["badexit"]
    assert "engines.contract.Engine" in catalog.broken["badkind"]
    with pytest.raises(UnknownEngine, match="no_such_module_anywhere"):
        catalog.engine("badimport")
    for name in ("bad_exit", "bad_kind", "bad_import"):
        sys.modules.pop(name, None)


def test_what_is_broken_is_told_without_a_path_of_this_machine(
    tmp_path: Path, plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loader's own words name the interpreter's folders."""
    words = f"{tmp_path}/lib/python3.11/site-packages/some/_core.so: undefined symbol: x"
    install(tmp_path, "bad_library", f"raise ImportError({words!r})", {"badlibrary": "bad_library:ENGINE"})
    monkeypatch.syspath_prepend(str(tmp_path))
    said = Catalog.load().broken["badlibrary"]
    assert said.endswith("importing it failed with ImportError: _core.so: undefined symbol: x.")
    sys.modules.pop("bad_library", None)


def test_faults_of_a_declaration(fixture_catalog: Catalog) -> None:
    engine = fixture_catalog.engine("fixture")
    strange = dataclasses.replace(engine.paper, family="astrology")
    bare = dataclasses.replace(engine, presets={"smoke": engine.presets["smoke"]})
    catalog = Catalog.of(
        [
            ("other", engine, HERE),
            ("fixture", dataclasses.replace(engine, paper=strange), HERE),
            ("fixture", bare, HERE),
            ("fixture", engine, HERE),
            ("fixture", engine, HERE),
        ]
    )
    assert list(catalog.engines) == ["fixture"]
    assert "its paper's key is 'fixture'" in catalog.broken["other"]
    assert "already taken" in catalog.broken["fixture (some-distribution)"]
    assert "no preset" in catalog.broken["fixture"] or "astrology" in catalog.broken["fixture"]


def test_unknown_engine_names_the_nearest(fixture_catalog: Catalog) -> None:
    with pytest.raises(UnknownEngine) as caught:
        fixture_catalog.engine("fixtrue")
    assert caught.value.sentence == "There is no engine 'fixtrue'. Did you mean fixture?"
    with pytest.raises(UnknownEngine, match="Known engines: fixture"):
        fixture_catalog.engine("zzz")
