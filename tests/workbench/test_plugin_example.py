"""The worked example of docs/adding-an-engine.md, used as its reader would: installed, listed, run."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "plugin"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The metadata that an installation would leave, for a program started with this environment."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    info = tmp_path / "site" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {target}" for name, target in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(info.parent), str(EXAMPLE)]))
    return info.parent


@pytest.fixture
def command(home: Path, installed: Path) -> Callable[..., str]:
    def run(*words: str) -> str:
        code = "import sys; from workbench.cli import main; sys.exit(main())"
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code, *words], check=True, capture_output=True, text=True
        )
        return done.stdout

    return run


def test_it_is_listed_with_its_version(command: Callable[..., str]) -> None:
    engines = {item["key"]: item for item in json.loads(command("engines", "--json"))}
    assert engines["heavy_ball"]["version"] == "1.0"
    assert engines["heavy_ball"]["family"] == "optimizers"


def test_it_runs_and_its_claim_holds(command: Callable[..., str]) -> None:
    document = json.loads(command("run", "heavy_ball", "--preset", "smoke", "--seed", "2", "--json"))
    assert document["run"]["status"] == "finished"
    assert document["run"]["engine_version"] == "1.0"
    assert document["series"]["Heavy ball/relative error"]["count"] == 50
    assert [claim["holds"] for claim in document["claims"]] == [True]
    assert document["claims"][0]["measured"] < document["claims"][0]["baseline"]
