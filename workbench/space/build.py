"""`workbench space build`: everything that a Space needs, as one folder.

app.py             about ten lines; the order of imports matters on ZeroGPU
README.md          front matter that the Hub reads
requirements.txt   what the Space installs
showcase/*.zip     runs as bundles, so that the page is alive at once
engines/ storage/ ui/ workbench/ and the metadata of the distribution
"""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Sequence
from pathlib import Path

import engines
import storage
import workbench
from storage import RunQuery, Status, export_bundle
from workbench.access import OWNER, PUBLISHED
from workbench.errors import FileTrouble, UsageError, storage_seam
from workbench.recorder import TRACEBACK
from workbench.runs import Workbench
from workbench.sweeps import members

DISTRIBUTION = "paper-workbench"
MARKER = ".paper-workbench-space"
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", "training")

APP = '''"""Paper Workbench as a Space. Built by `workbench space build`; README.md says what can be set."""

import os

os.environ.setdefault("WORKBENCH_PROFILE", "space")
{zero}
from ui.space import serve

if __name__ == "__main__":
    serve(__file__)
'''
ZERO = """os.environ.setdefault("WORKBENCH_EXECUTOR", "zerogpu")
import spaces  # noqa: F401  on ZeroGPU this comes before anything that could touch torch
"""
README = """---
title: {title}
colorFrom: blue
colorTo: gray
sdk: gradio
sdk_version: {gradio}
python_version: "3.11"
app_file: app.py
license: mit
pinned: false
suggested_hardware: {hardware}
short_description: Machine-learning papers that run, beside their baselines
{oauth}---

# {title}

Machine-learning papers, live: set a method's knobs, press Run, watch it beside its baselines. No GPU needed, nothing to
install. Each visitor sees their own runs and those that the owner published.

Built by `workbench space build`. What can be set in the Space's settings:

| variable or secret | meaning |
|---|---|
| `WORKBENCH_OWNER_PASSWORD` (secret) | password of the owner's view at `wb/login` |
| `WORKBENCH_OWNERS` | names of the Hub that are the owner (with `hf_oauth: true` above); they log in at `wb/login` of the Space's own address |
| `WORKBENCH_SNAPSHOTS_URL` | where the records are copied to and restored from: `hf://datasets/NAME/records`, `s3://...` |
| `WORKBENCH_SNAPSHOTS_S` | seconds between two copies (default 600) |
| `WORKBENCH_DEMO_RUNS`, `_QUEUE`, `_RUN_SECONDS`, `_UPLOAD_MB`, `_KEEP_DAYS`, `_DISK_MB`, `_ALLOW` | limits for visitors |
"""


def build(
    workbench: Workbench,
    folder: Path,
    *,
    title: str = "Paper Workbench",
    runs: Sequence[str] = (),
    zero_gpu: bool = False,
    oauth: bool = False,
) -> list[str]:
    """Write the Space into `folder` (new, empty, or an earlier build); answers the ids of the showcase.

    The showcase is `runs`; without any, the runs tagged "published"; without those, the newest finished run of each engine;
    of an engine without one, its smoke preset, executed here and now in a home of its own.

    Raises UnknownRun, UsageError where a run is not over, FileTrouble where the folder holds something else."""
    _prepare(folder)
    shown = _showcase(workbench, folder / "showcase", runs)
    _write(folder / "app.py", APP.format(zero=ZERO if zero_gpu else ""))
    hardware = "zero-a10g" if zero_gpu else "cpu-basic"
    login = "hf_oauth: true\n" if oauth else ""
    gradio = importlib.metadata.version("gradio")
    _write(folder / "README.md", README.format(title=title, gradio=gradio, hardware=hardware, oauth=login))
    _write(folder / "requirements.txt", "\n".join(_requirements(oauth=oauth, zero_gpu=zero_gpu)) + "\n")
    for package in _packages():
        target = folder / package.name
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(package, target, ignore=LEFT_OUT)
    _write_metadata(folder)
    _write(folder / MARKER, "")
    return shown


def _prepare(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise FileTrouble(f"{folder.name} is a file; name a folder for the Space.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARKER).exists():
        raise FileTrouble(f"{folder.name} holds something else; name a new folder for the Space.")
    try:
        shutil.rmtree(folder / "showcase", ignore_errors=True)
        (folder / "showcase").mkdir(parents=True)
    except OSError as error:
        raise FileTrouble(
            f"{folder.name} cannot be written: {(error.strerror or str(error)).lower()}."
        ) from error


def _showcase(workbench: Workbench, folder: Path, wanted: Sequence[str]) -> list[str]:
    ids = list(wanted) or [
        row.run.id for row in workbench.runs(RunQuery(owner=OWNER, tags=(PUBLISHED,), limit=200)).rows
    ]
    fresh = [] if ids else _newest_or_smoke(workbench)
    for run_id in ids or fresh:
        run = workbench.run(run_id)
        if not run.status.is_over:
            raise UsageError(f"Run {run_id} is still {run.status}; a showcase holds runs that are over.")
        with storage_seam():
            held = members(workbench, [run_id])  # a sweep is nothing without its cells
            export_bundle(workbench.store, held, folder / f"{run_id}.zip", without_texts=(TRACEBACK,))
    return ids or fresh


def _newest_or_smoke(workbench: Workbench) -> list[str]:
    """A finished run of each engine: the newest there is, else its smoke preset executed now."""
    ids = []
    for key in workbench.catalog.engines:
        rows = workbench.runs(
            RunQuery(engines=(key,), statuses=(Status.finished,), owner=OWNER, limit=1)
        ).rows
        if rows:
            ids.append(rows[0].run.id)
            continue
        run = workbench.run_inline(workbench.create(key, preset="smoke", tags=(PUBLISHED,)).id)
        if run.status is Status.finished:
            ids.append(run.id)
    return ids


def _packages() -> list[Path]:
    """The folders of our import packages, where this process has them from."""
    import importlib.util

    page = importlib.util.find_spec("ui")
    if page is None or not page.submodule_search_locations:
        raise UsageError("The page (package ui) is not installed here, and a Space is nothing without it.")
    homes = [engines.__path__[0], storage.__path__[0], page.submodule_search_locations[0], workbench_home()]
    return [Path(home) for home in homes]


def workbench_home() -> str:
    """The folder of this package."""
    return str(workbench.__path__[0])


def _requirements(*, oauth: bool, zero_gpu: bool) -> list[str]:
    """The distribution's own requirements without extras: all that a fresh environment needs. Gradio is among them with its
    bounds; on the Hub it comes with the Space's SDK, whose version lies within them."""
    found = []
    for line in importlib.metadata.requires(DISTRIBUTION) or []:
        if "extra ==" not in line:
            found.append(line.partition(";")[0].strip())
    if oauth:
        found += ["authlib>=1.3", "itsdangerous>=2.1"]
    if zero_gpu:
        found.append("spaces")
    return sorted(found)


def _write_metadata(folder: Path) -> None:
    """Name and version as an installed distribution has them, for the record of each run: the Space installs only
    what we need, not us."""
    version = importlib.metadata.version(DISTRIBUTION)
    for old in folder.glob("*.dist-info"):
        shutil.rmtree(old)
    made = folder / f"{DISTRIBUTION.replace('-', '_')}-{version}.dist-info"
    made.mkdir()
    _write(made / "METADATA", f"Metadata-Version: 2.1\nName: {DISTRIBUTION}\nVersion: {version}\n")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FileTrouble(
            f"{path.name} cannot be written: {(error.strerror or str(error)).lower()}."
        ) from error
