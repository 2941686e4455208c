"""A Space: built as a folder, its app.py run as the Hub runs it, pushed to a Hub that is not there."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from packaging.requirements import Requirement
from space_process import called, running

from storage import Status
from ui.space import bring_showcase
from workbench import space, sweeps
from workbench.errors import FileTrouble, UsageError
from workbench.runs import Workbench
from workbench.settings import Settings
from workbench.sweep_axes import Axis

TESTS = Path(__file__).parents[1]


@pytest.fixture
def built(workbench: Workbench, tmp_path: Path) -> Path:
    """A Space whose showcase is one published run."""
    run = workbench.submit("fixture", preset="smoke", tags=("published",), note="the showcase")
    workbench.submit("fixture", preset="smoke", note="not shown")
    folder = tmp_path / "space"
    assert space.build(workbench, folder) == [run.id]
    return folder


def test_the_folder_holds_all_that_a_space_needs(built: Path) -> None:
    assert {
        "app.py",
        "README.md",
        "requirements.txt",
        "engines",
        "storage",
        "ui",
        "workbench",
        "showcase",
    } <= {path.name for path in built.iterdir()}
    code = (built / "app.py").read_text("utf-8")
    ast.parse(code)
    assert len([line for line in code.splitlines() if line.strip()]) <= 12
    head = re.match(r"---\n(.*?)\n---\n", (built / "README.md").read_text("utf-8"), re.S)
    assert head
    fields = dict(line.split(": ", 1) for line in head[1].splitlines())
    assert (fields["sdk"], fields["app_file"]) == ("gradio", "app.py")
    assert re.fullmatch(r"\d+\.\d+\.\d+", fields["sdk_version"])
    assert len(fields["short_description"]) <= 60
    requirements = (built / "requirements.txt").read_text("utf-8").splitlines()
    assert any(line.startswith("torch") for line in requirements)
    assert not any("extra" in line or line.startswith("pytest") for line in requirements)
    [gradio] = [Requirement(line) for line in requirements if line.startswith("gradio")]
    assert gradio.specifier.contains(fields["sdk_version"]), (
        "what the Hub installs besides must not contradict"
    )
    texts = "".join(
        path.read_text("utf-8")
        for path in (built / "app.py", built / "README.md", built / "requirements.txt")
    )
    assert str(built.parent) not in texts
    assert not list(built.rglob("__pycache__"))


def test_app_py_serves_the_page_alive_at_once(built: Path, workbench: Workbench) -> None:
    """Run from its folder, with the folder's own packages and the Space's variables: a demo, with the showcase."""
    page = built / "ui" / "app.py"
    page.write_text(
        page.read_text("utf-8").replace('title="Paper Workbench"', 'title="Built Workbench"'), "utf-8"
    )
    snapshots = built.parent / "snapshots"
    with (
        running(built, WORKBENCH_SNAPSHOTS_URL=f"file://{snapshots}") as address,
        httpx.Client(base_url=address) as guest,
    ):
        first = guest.get("/", headers={"x-forwarded-proto": "https"})
        assert "Built Workbench" in first.text, "the folder's own packages are served"
        assert "SameSite=None; Secure; Partitioned" in first.headers["set-cookie"]
        guest.cookies.set("wb-visitor", "0" * 32)
        [shown] = called(guest, "list_runs", "", "", 10)
        assert (shown["engine"], shown["note"]) == ("fixture", "the showcase")
        assert "environment" not in shown
        mine = called(guest, "start_run", "fixture", {"steps": 2}, "smoke", 1)
        for _ in range(600):
            status = called(guest, "run_status", mine["id"])["status"]
            if status not in ("queued", "running"):
                break
        assert status == "finished"
        assert guest.get("/gradio_api/file=app.py").status_code == 404
    assert (snapshots / "latest.json").exists(), "the last snapshot is taken at the end"
    import shutil

    shutil.rmtree(built.parent / "space-home")
    with (
        running(built, WORKBENCH_SNAPSHOTS_URL=f"file://{snapshots}") as address,
        httpx.Client(base_url=address) as guest,
    ):
        guest.cookies.set("wb-visitor", "0" * 32)
        assert {row["id"] for row in called(guest, "list_runs", "", "", 10)} == {shown["id"], mine["id"]}


def test_on_zerogpu_a_run_executes_inside_its_request(workbench: Workbench, tmp_path: Path) -> None:
    workbench.submit("fixture", preset="smoke", tags=("published",))
    folder = tmp_path / "space"
    space.build(workbench, folder, zero_gpu=True, oauth=True)
    code = (folder / "app.py").read_text("utf-8")
    assert code.index("import spaces") < code.index("from ui.space")
    assert "suggested_hardware: zero-a10g\n" in (folder / "README.md").read_text("utf-8")
    assert "hf_oauth: true\n" in (folder / "README.md").read_text("utf-8")
    assert "spaces" in (folder / "requirements.txt").read_text("utf-8").splitlines()
    with running(folder, zero=True) as address, httpx.Client(base_url=address, timeout=60) as guest:
        guest.get("/")
        run = called(guest, "start_run", "fixture", {"steps": 2}, "smoke", 1)
        assert run["status"] == "finished", "the call returns at the run's end"
        event = {"do": "run", "engine": "fixture", "preset": "smoke", "values": {}, "seed": "3", "id": 1}
        said = guest.post("/gradio_api/run/act", json={"data": [], "event_data": event}).json()["data"][0][
            "do"
        ]
        [queued] = [one["run"] for one in said if one["kind"] == "work"]
        assert called(guest, "run_status", queued)["status"] == "queued", (
            "the page's own request does not wait"
        )


def test_zerogpu_declares_how_long_it_needs(
    make_workbench: Callable[..., Workbench], monkeypatch: pytest.MonkeyPatch
) -> None:
    declared: list[int] = []
    fake = SimpleNamespace(GPU=lambda duration: declared.append(duration) or (lambda function: function))
    monkeypatch.setitem(sys.modules, "spaces", fake)
    monkeypatch.setattr("workbench.executors.elsewhere.Catalog.load", lambda: bench.catalog)
    bench = make_workbench(executor="zerogpu", run_limit_s=90.0)
    assert bench.submit("fixture", preset="smoke").status is Status.finished
    assert declared == [105]


def test_without_published_runs_the_newest_of_each_engine_is_shown(
    workbench: Workbench, tmp_path: Path
) -> None:
    workbench.submit("fixture", preset="smoke")
    newest = workbench.submit("fixture", preset="smoke", seed=2)
    assert space.build(workbench, tmp_path / "one") == [newest.id]
    workbench.delete(newest.id)
    older = workbench.runs().rows[0].run
    assert space.build(workbench, tmp_path / "one") == [older.id], "an earlier build is replaced"
    assert [path.name for path in (tmp_path / "one" / "showcase").iterdir()] == [f"{older.id}.zip"]
    workbench.delete(older.id)
    [made] = space.build(workbench, tmp_path / "two")
    assert workbench.run(made).preset == "smoke"


def test_a_folder_with_something_else_is_left_alone(workbench: Workbench, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(FileTrouble, match="holds something else"):
        space.build(workbench, tmp_path)
    queued = workbench.create("fixture", preset="smoke")
    with pytest.raises(UsageError, match="still queued"):
        space.build(workbench, tmp_path / "new", runs=[queued.id])


class _FakeHub:
    """A Hub that remembers what it was asked."""

    asked: list[tuple[str, dict[str, Any]]]

    def __init__(self) -> None:
        self.asked = []

    def create_repo(self, repo_id: str, **options: Any) -> Any:
        self.asked.append(("create_repo", {"repo_id": repo_id, **options}))
        return _Address(repo_id)

    def upload_folder(self, **options: Any) -> None:
        assert (Path(options["folder_path"]) / "app.py").exists()
        self.asked.append(("upload_folder", options))


class _Address(str):
    """The Hub's answer: an address that knows its repository."""

    @property
    def repo_id(self) -> str:
        return f"someone/{self.rpartition('/')[2]}"


def test_push_creates_and_uploads(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = _FakeHub()
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: hub)
    assert space.push(built, "papers", private=True) == "papers"
    (made, options), (sent, upload) = hub.asked
    assert (made, options["space_sdk"], options["private"]) == ("create_repo", "gradio", True)
    assert (sent, upload["repo_id"], upload["repo_type"]) == ("upload_folder", "someone/papers", "space")
    with pytest.raises(UsageError, match="OWNER/NAME"):
        space.push(built, "../evil")
    with pytest.raises(FileTrouble, match="build it first"):
        space.push(built.parent, "papers")
    assert len(hub.asked) == 2


def test_push_tells_the_hubs_own_words(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import LocalTokenNotFoundError

    class Refusing(_FakeHub):
        def create_repo(self, repo_id: str, **options: Any) -> Any:
            raise LocalTokenNotFoundError("no token")

    monkeypatch.setattr("huggingface_hub.HfApi", Refusing)
    with pytest.raises(UsageError, match="hf auth login"):
        space.push(built, "papers")


def test_the_command_line_builds_and_pushes(
    run_cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fixture_catalog: Any
) -> None:
    monkeypatch.setattr("workbench.catalog.Catalog.load", lambda: fixture_catalog)
    hub = _FakeHub()
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: hub)
    code, out, _ = run_cli("space", "build", str(tmp_path / "made"), "--title", "My papers")
    assert (code, "1 showcase runs" in out) == (0, True)
    assert "title: My papers\n" in (tmp_path / "made" / "README.md").read_text("utf-8")
    code, out, _ = run_cli("space", "push", "me/papers", "--folder", str(tmp_path / "made"), "--json")
    assert (code, '"url": "me/papers"' in out) == (0, True)
    assert run_cli("space", "push", "me/papers", "--folder", str(tmp_path))[0] == 2


def test_a_sweep_is_shown_with_its_cells(workbench: Workbench, tmp_path: Path) -> None:
    plan = sweeps.Plan("fixture", (Axis("steps", (2, 3)),), (0,), "smoke")
    made = sweeps.create(workbench, plan)
    for run_id in made.run_ids:
        workbench.run_inline(run_id)
    assert space.build(workbench, tmp_path / "space", runs=[made.run.id]) == [made.run.id]
    with Workbench.open(Settings.at(tmp_path / "there", executor="inline"), workbench.catalog) as there:
        brought = bring_showcase(there, tmp_path / "space" / "showcase")
        assert set(brought) == {made.run.id, *made.run_ids}
        assert sweeps.read(there, made.run.id).run_ids == made.run_ids
        assert all("published" in there.run(run_id).tags for run_id in brought)


def test_what_the_owner_decided_of_the_showcase_stays(workbench: Workbench, tmp_path: Path) -> None:
    """At every start of a Space its folder is the same; what was unpublished or deleted there is not undone."""
    runs = [
        workbench.submit("fixture", preset="smoke", seed=seed, tags=("published",), note="as built")
        for seed in range(3)
    ]
    folder = tmp_path / "space"
    space.build(workbench, folder)
    with Workbench.open(Settings.at(tmp_path / "there", executor="inline"), workbench.catalog) as there:
        shown, unpublished, deleted = (run.id for run in runs)
        assert set(bring_showcase(there, folder / "showcase")) == {shown, unpublished, deleted}
        there.tag(unpublished, ["mine"])
        there.note(unpublished, "to be looked at")
        there.delete(deleted)
        for _ in range(2):
            assert bring_showcase(there, folder / "showcase") == []
        left = {row.run.id: row.run for row in there.runs().rows}
        assert set(left) == {shown, unpublished}
        assert (left[shown].tags, left[unpublished].tags) == (("published",), ("mine",))
        assert left[unpublished].note == "to be looked at"
        # A Space that is built anew brings what is new, and nothing else.
        more = workbench.submit("fixture", preset="smoke", seed=9, tags=("published",))
        space.build(workbench, folder)
        assert bring_showcase(there, folder / "showcase") == [more.id]
        assert {row.run.id for row in there.runs().rows} == {shown, unpublished, more.id}


def test_a_sweep_gets_its_new_cells_and_not_those_that_were_deleted(
    workbench: Workbench, tmp_path: Path
) -> None:
    plan = sweeps.Plan("fixture", (Axis("mode", ("plain", "fail")),), (0, 1), "smoke")
    made = sweeps.create(workbench, plan, tags=("published",))
    for run_id in made.run_ids:
        workbench.run_inline(run_id)
    folder = tmp_path / "space"
    space.build(workbench, folder, runs=[made.run.id])
    with Workbench.open(Settings.at(tmp_path / "there", executor="inline"), workbench.catalog) as there:
        bring_showcase(there, folder / "showcase")
        there.delete(made.run_ids[0])
        for run in sweeps.repeat(workbench, made.run.id):
            workbench.run_inline(run.id)
        space.build(workbench, folder, runs=[made.run.id])
        again = [
            run_id for run_id in sweeps.read(workbench, made.run.id).run_ids if run_id not in made.run_ids
        ]
        assert sorted(bring_showcase(there, folder / "showcase")) == sorted(again)
        assert len(again) == 2
        assert made.run_ids[0] not in {row.run.id for row in there.runs().rows}
