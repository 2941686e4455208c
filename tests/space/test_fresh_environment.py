"""A built Space where nothing of ours is installed: an environment of its own that has what requirements.txt names.

The packages themselves are not installed anew: the environment looks into the folder of this one for them, where the hook
that makes our own packages importable from the repository is not read."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path
from typing import Any

import httpx
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from space_process import called, running

from engines.contract import FAMILIES
from ui.space import place
from workbench import space
from workbench.catalog import Catalog
from workbench.runs import Workbench
from workbench.settings import Settings

OURS = ("engines", "storage", "ui", "workbench")
PROBE = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import ui.app, ui.report, ui.space, workbench.executors.worker, workbench.inquiry
from workbench.catalog import Catalog
from workbench.runs import Workbench
from workbench.settings import Settings
with Workbench.open(Settings.at(Path(sys.argv[2])), Catalog.load()) as bench:
    ui.app.build(bench)
    files = {name: str(getattr(module, "__file__", None) or "") for name, module in sys.modules.items()}
    print(json.dumps({"files": files, "engines": list(bench.catalog.engines), "broken": dict(bench.catalog.broken)}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Space of the real engines; its showcase is one run that was recorded without being executed."""
    room = tmp_path_factory.mktemp("fresh")
    with Workbench.open(Settings.at(room / "home", executor="inline"), Catalog.load()) as bench:
        params = bench.validate("matrix_completion", {}, "smoke").model_dump(mode="json")
        run = bench.store.create_run(engine="matrix_completion", params=params, seed=0, preset="smoke")
        bench.store.finish_run(run.id, "finished")
        space.build(bench, room / "space", runs=[run.id])
    return room / "space"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Python of a fresh environment."""
    home = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    [site] = home.glob("lib/python*/site-packages")
    # One line of a .pth is one folder more to look into; the .pth files in there are not read, ours among them.
    (site / "packages.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return str(home / "bin" / "python")


@pytest.fixture(scope="module")
def probed(folder: Path, python: str) -> dict[str, Any]:
    """Where what the page needs came from in the fresh environment, and which engines there are."""
    words = [python, "-c", PROBE, str(folder), str(folder.parent / "probed")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, cwd=folder.parent, env=_bare())
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _bare() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}


def test_nothing_of_ours_is_installed_there(python: str) -> None:
    words = [python, "-c", "import gradio, workbench"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=Path(python).parent, env=_bare())
    assert "No module named 'workbench'" in done.stderr


def test_every_module_comes_from_the_folder(folder: Path, probed: dict[str, Any]) -> None:
    ours = {name: path for name, path in probed["files"].items() if name.partition(".")[0] in OURS}
    assert len(ours) > 100
    elsewhere = {name: path for name, path in ours.items() if path and not Path(path).is_relative_to(folder)}
    assert elsewhere == {}


def test_the_built_in_engines_load(folder: Path, probed: dict[str, Any]) -> None:
    experiments = [
        path.parent.name for family in FAMILIES for path in folder.glob(f"engines/{family}/*/experiment.py")
    ]
    assert experiments
    assert (sorted(probed["engines"]), probed["broken"]) == (sorted(experiments), {})


def test_no_module_asks_for_one_that_was_left_out(folder: Path) -> None:
    """Also what is imported only in mid-run."""
    missing = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in names:
                place = folder.joinpath(*name.split("."))
                if name.partition(".")[0] in OURS and not (
                    place.is_dir() or place.with_suffix(".py").exists()
                ):
                    missing.add(f"{path.relative_to(folder)} imports {name}")
    assert missing == set()


def test_requirements_name_all_that_is_imported(folder: Path, probed: dict[str, Any]) -> None:
    """Every package that a loaded module of ours imports at its head is in requirements.txt, or needed by what is."""
    wanted = [Requirement(line) for line in (folder / "requirements.txt").read_text("utf-8").splitlines()]
    closure, owners = _needed(wanted), metadata.packages_distributions()
    unnamed = set()
    for module, path in probed["files"].items():
        if module.partition(".")[0] not in OURS or not path:
            continue
        for node in ast.parse(Path(path).read_text("utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for name in {name.partition(".")[0] for name in names} - {*OURS, *sys.stdlib_module_names}:
                if not {canonicalize_name(one) for one in owners[name]} & closure:
                    unnamed.add(f"{module} imports {name}")
    assert unnamed == set()


def _needed(wanted: list[Requirement]) -> set[str]:
    found: set[str] = set()
    waiting = list(wanted)
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in found:
            continue
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # of another platform
        assert requirement.specifier.contains(metadata.version(name), prereleases=True), str(requirement)
        found.add(name)
        more = [Requirement(line) for line in lines]
        waiting += [one for one in more if one.marker is None or one.marker.evaluate({"extra": ""})]
    return found


def test_app_py_serves_and_runs_there(folder: Path, python: str) -> None:
    with (
        running(folder, python=python, path="") as address,
        httpx.Client(base_url=address, timeout=60) as guest,
    ):
        assert "Paper Workbench" in guest.get("/").text
        [shown] = called(guest, "list_runs", "", "", 10)
        assert shown["engine"] == "matrix_completion"
        mine = called(guest, "start_run", "matrix_completion", {}, "smoke", 1)
        while (status := called(guest, "run_status", mine["id"]))["status"] in ("queued", "running"):
            pass
        assert (status["status"], status["error"]) == ("finished", "")


def test_only_a_space_listens_to_everybody() -> None:
    assert place({}) == ("127.0.0.1", 7860)
    assert place({"SPACE_ID": "a/b"}) == ("0.0.0.0", 7860)
    assert place({"SPACE_ID": "a/b", "GRADIO_SERVER_NAME": "::1", "GRADIO_SERVER_PORT": "80"}) == ("::1", 80)
