"""Runs handed on to trackers. TensorBoard's files are real; the other three are played by modules that take notes
in the form in which those packages take their calls (each adapter was also tried with the real package)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from storage import Run
from workbench.errors import MissingPackage, RunIsActive, UsageError, WorkbenchError
from workbench.event_files import scalars
from workbench.runs import Workbench
from workbench.trackers import log_to, parse, whole_steps
from workbench.trackers.rows import rows


@pytest.fixture
def run(workbench: Workbench) -> Run:
    return workbench.submit("fixture", {"words": ["a", "b"]}, preset="smoke", seed=3, tags=("kept",))


def play(monkeypatch: pytest.MonkeyPatch, name: str, **members: Any) -> ModuleType:
    made = ModuleType(name)
    for member, value in members.items():
        setattr(made, member, value)
    monkeypatch.setitem(sys.modules, name, made)
    return made


def test_tensorboard_gets_a_folder_a_contender(workbench: Workbench, run: Run, tmp_path: Path) -> None:
    [line] = log_to(workbench, [run.id], f"tensorboard:{tmp_path / 'logs'}")
    [folder] = (tmp_path / "logs").iterdir()
    assert line.startswith(str(folder))
    record = workbench.record(run.id)
    points = record.points("Ours", "error")
    [file] = (folder / "Ours").iterdir()
    found = [event for event in scalars(file) if event.tag == "error"]
    assert [event.step for event in found] == points.steps.tolist()
    assert [event.value for event in found] == pytest.approx(points.values.tolist(), rel=1e-6)
    started = workbench.run(run.id).started_at
    assert started is not None
    assert [event.wall_time - started for event in found] == pytest.approx(points.times.tolist(), abs=1e-5)
    before = file.read_bytes()
    log_to(workbench, [run.id], f"tensorboard:{tmp_path / 'logs'}")
    assert [other.read_bytes() for other in (folder / "Ours").iterdir()] == [before]


def test_a_contenders_name_is_no_way_out_of_the_folder(workbench: Workbench, tmp_path: Path) -> None:
    made = workbench.store.create_run(engine="outside", params={}, seed=0)
    workbench.store.claim_run(made.id, "test")
    with workbench.store.writer(made.id) as writer:
        for name in ("../../out", "..", "a/b", "/etc"):
            writer.scalar(name, "x", 0, 1.0, 0.0)
    workbench.store.finish_run(made.id, "finished")
    log_to(workbench, [made.id], f"tensorboard:{tmp_path / 'logs'}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "logs"]
    [folder] = (tmp_path / "logs").iterdir()
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == [
        "_.._out",
        "_etc",
        "a_b",
        "series 1",
    ]


def test_mlflow_gets_parameters_curves_and_the_verdicts(
    workbench: Workbench, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: dict[str, Any] = {"metrics": [], "params": [], "images": []}

    class Client:
        def __init__(self, tracking_uri: str) -> None:
            notes["uri"] = tracking_uri

        def get_experiment_by_name(self, name: str) -> None:
            return None

        def create_experiment(self, name: str) -> str:
            notes["experiment"] = name
            return "7"

        def create_run(self, experiment: str, **options: Any) -> Any:
            notes["tags"] = options["tags"]
            return SimpleNamespace(info=SimpleNamespace(run_id="run7"))

        def log_batch(self, made: str, metrics: Any = (), params: Any = ()) -> None:
            notes["metrics"] += metrics
            notes["params"] += params

        def log_image(self, made: str, image: Any, path: str) -> None:
            notes["images"].append((image.size, path))

        def log_text(self, made: str, text: str, path: str) -> None:
            notes["record"] = json.loads(text)

        def set_terminated(self, made: str, status: str, end: int) -> None:
            notes["status"] = status

    play(monkeypatch, "mlflow")
    play(monkeypatch, "mlflow.tracking", MlflowClient=Client)
    play(monkeypatch, "mlflow.entities", Metric=lambda *values: values, Param=lambda *values: values)
    log_to(workbench, [run.id], "mlflow:sqlite:///x.db")
    record = workbench.record(run.id)
    assert (notes["uri"], notes["experiment"], notes["status"]) == ("sqlite:///x.db", "fixture", "FINISHED")
    assert dict(notes["params"])["words"] == '["a", "b"]'
    assert dict(notes["params"])["seed"] == "3"
    assert (notes["tags"]["claim.smaller"], notes["tags"]["claim.undecided"]) == ("holds", "not decided")
    assert [metric[1] for metric in notes["metrics"] if metric[0] == "Ours/error"] == record.points(
        "Ours", "error"
    ).values.tolist()
    assert len(notes["metrics"]) == sum(info.count for info in record.series())
    assert len(notes["images"]) == len(record.pictures())
    assert notes["record"]["run"]["id"] == run.id


def test_wandb_and_trackio_get_a_row_a_step(
    workbench: Workbench, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[dict[str, Any]] = []
    made = SimpleNamespace(
        define_metric=lambda *a, **k: None,
        log=logged.append,
        summary={},
        finish=lambda: None,
        dir="wandb/offline-run-1-x/files",
    )
    options: dict[str, Any] = {}
    play(
        monkeypatch,
        "wandb",
        init=lambda **given: options.update(given) or made,
        Settings=lambda **k: None,
        Image=lambda image, caption: caption,
    )
    [line] = log_to(workbench, [run.id], "wandb:papers")
    assert line.endswith("by wandb sync wandb/offline-run-1-x"), "the run's folder, not its files'"
    assert (options["mode"], options["project"], options["config"]["seed"]) == ("offline", "papers", 3)
    record = workbench.record(run.id)
    curve = [row["Ours/error"] for row in logged if "Ours/error" in row]
    assert curve == record.points("Ours", "error").values.tolist()
    assert made.summary["claim.smaller"] == "holds"
    logged.clear()
    play(
        monkeypatch,
        "trackio",
        init=lambda **given: options.update(given),
        log=logged.append,
        finish=lambda: None,
    )
    log_to(workbench, [run.id], "trackio:papers")
    assert options["embed"] is False
    assert [row["workbench step"] for row in logged] == [float(step) for step in range(len(logged))]


def test_rows_lose_no_point_and_keep_broken_steps(workbench: Workbench) -> None:
    made = workbench.store.create_run(engine="outside", params={}, seed=0)
    with workbench.store.writer(made.id) as writer:
        for step, value in ((0.5, 1.0), (0.25, 2.0), (0.5, 3.0)):
            writer.scalar("a", "x", step, value, 0.0)
        writer.scalar("b", "x", 0.5, 9.0, 0.0)
    assert rows(workbench.record(made.id)) == [
        (0.25, {"a/x": 2.0}),
        (0.5, {"a/x": 1.0, "b/x": 9.0}),
        (0.5, {"a/x": 3.0}),
    ]
    assert whole_steps([0.5, 0.25]) == [0, 1]
    assert whole_steps([10.0, 20.0]) == [10, 20]


@pytest.mark.parametrize("target", ["", "tensorboard", "tensorboard:", "aim:x", ":x"])
def test_a_target_that_is_not_understood_is_told(target: str) -> None:
    with pytest.raises(UsageError, match="such as tensorboard:logs"):
        parse(target)


@pytest.mark.parametrize("name", ["mlflow", "wandb", "trackio"])
def test_a_package_that_is_not_there_is_named(
    workbench: Workbench, run: Run, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingPackage, match=f"{name} is not installed here.*pip install {name}"):
        log_to(workbench, [run.id], f"{name}:somewhere")


def test_what_a_tracker_says_against_it_is_one_sentence(
    workbench: Workbench, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> None:
        raise RuntimeError("no room.\nTraceback")

    play(monkeypatch, "trackio", init=refuse)
    with pytest.raises(WorkbenchError, match=f"^trackio did not take run {run.id}: no room\\.$"):
        log_to(workbench, [run.id], "trackio:papers")
    waiting = workbench.create("fixture", preset="smoke")
    with pytest.raises(RunIsActive):
        log_to(workbench, [waiting.id], "trackio:papers")


def test_the_command_sends_and_says_where(
    run_cli: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    assert run_cli("run", "fixture", "--preset", "smoke")[0] == 0
    code, out, _ = run_cli("export", "last", "--log-to", f"tensorboard:{tmp_path / 'logs'}", "--json")
    assert (code, len(json.loads(out)["sent"])) == (0, 1)
    assert run_cli("export", "last")[0] == 2
    assert run_cli("export", "last", "--to", "x.zip", "--log-to", "wandb:x")[0] == 2
    code, _, err = run_cli("export", "last", "--log-to", f"tensorboard:{Path(__file__)}/inside")
    assert (code, "cannot be written" in err) == (2, True)
