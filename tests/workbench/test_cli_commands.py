import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.cli import main
from workbench.cli.parser import build_parser
from workbench.runs import Workbench

Cli = Callable[..., tuple[int, str, str]]

COMMANDS = [
    "serve", "engines", "run", "sweep", "reproduce", "claims", "space", "doctor",
    "runs", "show", "export", "import", "delete", "cancel", "tag", "note",
]  # fmt: skip


def test_exactly_the_commands_of_the_design() -> None:
    assert build_parser()[1] == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    assert f"usage: workbench {command}" in capsys.readouterr().out


def test_run_prints_the_end(run_cli: Cli) -> None:
    code, out, err = run_cli("run", "fixture", "--preset", "smoke", "--seed", "3")
    assert code == 0
    assert re.match(r"fixture finished after .* s   run \w{26}\n", out)
    assert "error of Ours: " in out
    assert "The error is smaller than the baseline's." in out
    assert err == ""


def test_run_json_is_one_document_that_show_repeats(run_cli: Cli) -> None:
    words = [
        "--set",
        "mode=print",
        "--set",
        "steps=2",
        "--set",
        "steps=4",
        "--seed",
        "3",
        "--tag",
        "t",
        "--note",
        "n",
        "--json",
    ]
    code, out, err = run_cli("run", "fixture", *words)
    document = json.loads(out)
    assert code == 0
    assert document["run"]["params"]["steps"] == 4, "the last --set of a field wins"
    assert (document["run"]["seed"], document["run"]["tags"], document["run"]["note"]) == (3, ["t"], "n")
    assert "an engine that prints to standard output" in err
    code, out, _ = run_cli("show", document["run"]["id"], "--json")
    assert (code, json.loads(out)) == (0, document)


def test_run_from_another_run(run_cli: Cli) -> None:
    first = json.loads(run_cli("run", "fixture", "--set", "rate=0.25", "--seed", "7", "--json")[1])
    again = json.loads(run_cli("run", "--from", first["run"]["id"], "--json")[1])
    assert again["run"]["params"] == first["run"]["params"]
    assert (again["run"]["seed"], again["run"]["parent_id"]) == (7, first["run"]["id"])
    assert again["series"]["Ours/error"] == first["series"]["Ours/error"]
    other = json.loads(
        run_cli("run", "fixture", "--from", "last", "--set", "rate=1", "--seed", "8", "--json")[1]
    )
    assert (other["run"]["params"]["rate"], other["run"]["seed"]) == (1, 8)


def test_run_with_a_file(run_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(b"meow")
    code, out, _ = run_cli("run", "fixture", "--set", f"photo=@{tmp_path / 'cat.png'}", "--json")
    assert code == 0
    assert json.loads(out)["run"]["params"]["photo"].endswith("/cat.png")


def test_detach_only_queues(run_cli: Cli) -> None:
    code, out, _ = run_cli("run", "fixture", "--detach")
    assert code == 0
    document = json.loads(run_cli("show", out.strip(), "--json")[1])
    assert document["run"]["status"] == "queued"
    assert json.loads(run_cli("run", "fixture", "--detach", "--json")[1])["run"]["status"] == "queued"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["run", "fixture", "--set", "steps=0"], "steps must be a whole number from 1 to "),
        (
            ["run", "fixture", "--set", "rate=fast"],
            "rate must be a number above 0 and at most 1 (1/step); got 'fast'.",
        ),
        (
            ["run", "fixture", "--set", "stepps=1"],
            "stepps is not a parameter of fixture. Did you mean steps?",
        ),
        (["run", "fixture", "--set", "steps"], "--set takes name=value; got 'steps'."),
        (["run", "fixture", "--set", "photo=@nowhere/cat.png"], "There is no file 'cat.png'."),
        (["run", "fixture", "--preset", "huge"], "preset must be one of smoke, default, paper; got 'huge'."),
        (["run", "fixture", "--seed", "-1"], "must be a whole number from 0 to 4294967295; got '-1'"),
        (["run", "fixtur"], "There is no engine 'fixtur'. Did you mean fixture?"),
        (["run"], "Name the engine to run"),
        (["run", "--from", "nobody"], "nobody"),
        (["rnu"], "There is no command 'rnu'. Did you mean run?"),
        (["xyzzy"], "There is no command 'xyzzy'. Commands: serve"),
        (["run", "fixture", "--bogus"], "Unrecognized arguments: --bogus."),
        (["--port", "99999"], "must be a whole number from 1 to 65535; got '99999'"),
        (["show", "zzzzzz"], "There is no run whose id ends in 'zzzzzz'."),
        (["show"], "required: ID"),
        (["import", "nowhere.zip"], "There is no file 'nowhere.zip'."),
        (["export", "zzzzzz", "--to", "x.csv"], "There is no run"),
        (
            ["export", "last", "--to", "x.tsv"],
            "'x.tsv' does not say what to write; add --format bundle|json|csv|parquet|html.",
        ),
        (["export", "last", "--to", "folder"], "does not say what to write"),
        (["export", "last", "--to", "fig.png"], "--format figures --to FOLDER"),
        (["export", "last", "--to", "nowhere/run.zip"], "There is no folder 'nowhere'."),
        (
            ["export", "last", "--to", "nowhere/figures/", "--format", "figures"],
            "There is no folder 'nowhere",
        ),
        (["export", "--to", "run.zip"], "Name the runs to export, or take all of them with --all."),
        (["export", "last", "--all", "--to", "run.zip"], "Name the runs to export"),
        (["export", "--all", "--to", "run.zip"], "There are no runs to export yet."),
        (["runs", "--to", "x.pdf"], "'x.pdf' does not say what to write; add --format csv|json|parquet."),
        (["runs", "--to", "nowhere/x.csv"], "There is no folder 'nowhere'."),
        (["runs", "--status", "odd"], "invalid choice: 'odd'"),
        (["reproduce", "--seeds", "0"], "must be a whole number from 1 to 1000"),
    ],
)
def test_wrong_usage_is_one_sentence_and_code_2(run_cli: Cli, words: list[str], sentence: str) -> None:
    code, out, err = run_cli(*words)
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.startswith("workbench: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    code, out, _ = run_cli(*words, "--json") if words[0] not in ("rnu", "xyzzy", "--port") else (2, "{}", "")
    json.loads(out)


def test_a_wrong_field_is_named_in_json(run_cli: Cli) -> None:
    _, out, _ = run_cli("run", "fixture", "--set", "steps=0", "--json")
    [field] = json.loads(out)["error"]["fields"]
    assert (field["field"], field["value"]) == ("steps", 0)


def test_debug_shows_the_traceback(run_cli: Cli) -> None:
    _, _, err = run_cli("run", "fixture", "--set", "steps=0", "--debug")
    assert "Traceback" in err


def test_a_failed_run_is_code_1_and_still_one_document(run_cli: Cli) -> None:
    code, out, err = run_cli("run", "fixture", "--set", "mode=refuse", "--json")
    assert code == 1
    assert json.loads(out)["run"]["status"] == "failed"
    assert err == "workbench: photo must be a picture; got a poem. Choose another file.\n"


def test_engines(run_cli: Cli) -> None:
    code, out, _ = run_cli("engines")
    assert code == 0
    assert re.search(r"^fixture +estimation +2026 ", out, re.M)
    documents = {item["key"]: item for item in json.loads(run_cli("engines", "--json")[1])}
    assert {"key", "family", "title", "presets", "params"} <= set(documents["fixture"])
    assert documents["fixture"]["params"]["properties"]["rate"]["exclusiveMinimum"] == 0


def test_runs_filters_sorts_and_pages(run_cli: Cli) -> None:
    assert run_cli("runs")[1] == "No runs.\n"
    for seed, preset in ((1, "smoke"), (2, "default"), (3, "smoke")):
        run_cli("run", "fixture", "--preset", preset, "--seed", str(seed), "--tag", f"t{seed}")

    def seeds(*words: str) -> list[int]:
        return [run["seed"] for run in json.loads(run_cli("runs", "--json", *words)[1])]

    assert seeds() == [3, 2, 1], "newest first"
    assert seeds("--order", "seed", "--ascending") == [1, 2, 3]
    assert seeds("--preset", "smoke") == [3, 1]
    assert seeds("--tag", "t2") == [2]
    assert seeds("--seed", "1") == [1]
    assert seeds("--engine", "other") == []
    assert seeds("--status", "finished", "--limit", "1", "--offset", "1") == [2]
    assert seeds("--text", "t3") == [3]
    code, out, err = run_cli("runs", "--limit", "2")
    assert (code, len(out.splitlines())) == (0, 3)
    assert "2 of 3 runs" in err


def test_show_for_people(run_cli: Cli) -> None:
    run_cli("run", "fixture", "--set", "mode=fail")
    _, out, _ = run_cli("show", "last")
    for words in (
        "failed: The engine stopped with ZeroDivisionError",
        "--set mode=fail",
        "Ours    error",
        "Traceback",
    ):
        assert words in out
    run_cli("run", "fixture")
    _, out, _ = run_cli("show", "last")
    for words in ("result.csv", "That was all.", "The error is smaller"):
        assert words in out


def test_export_import_delete(run_cli: Cli, tmp_path: Path) -> None:
    run = json.loads(run_cli("run", "fixture", "--json")[1])
    run_id = run["run"]["id"]
    bundle = tmp_path / "run.zip"
    assert run_cli("export", run_id, "--to", str(bundle)) == (0, f"{bundle}\n", "")
    code, out, _ = run_cli("export", "last", "last", "--to", str(tmp_path / "x.csv"), "--json")
    assert (code, json.loads(out)["runs"]) == (0, [run_id])
    assert run_cli("export", run_id, "--to", str(tmp_path / "y"), "--format", "parquet")[0] == 0
    code, out, err = run_cli("delete", run_id)
    assert code == 2
    assert "--yes" in err
    assert run_cli("delete", run_id, "--yes")[0] == 0
    assert run_cli("show", run_id)[0] == 2
    assert run_cli("import", str(bundle)) == (0, f"{run_id}\n", "")
    assert json.loads(run_cli("show", run_id, "--json")[1])["series"] == run["series"]
    (tmp_path / "broken.zip").write_bytes(b"PK")
    code, _, err = run_cli("import", str(tmp_path / "broken.zip"))
    assert code == 1
    assert err.count("\n") == 1


def test_an_ending_says_what_is_written_and_a_slash_that_it_is_a_folder(run_cli: Cli, tmp_path: Path) -> None:
    for seed in ("1", "2"):
        run_cli("run", "fixture", "--preset", "smoke", "--seed", seed)
    folder = f"{tmp_path}/new/"
    code, out, _ = run_cli("export", "last", "--to", folder)
    [made] = Path(folder).iterdir()
    assert (code, out) == (0, f"{made}\n")
    assert zipfile.is_zipfile(made)
    assert run_cli("export", "last", "--to", folder, "--format", "csv")[0] == 0
    assert {file.suffix for file in Path(folder).iterdir()} == {".zip", ".csv"}
    assert run_cli("export", "last", "--to", str(tmp_path / "x.txt"), "--format", "json")[0] == 0
    json.loads((tmp_path / "x.txt").read_text())


def test_all_runs_that_are_over_become_one_bundle(run_cli: Cli, tmp_path: Path, workbench: Workbench) -> None:
    over = [workbench.submit("fixture", preset="smoke", seed=seed).id for seed in (1, 2)]
    waiting = workbench.create("fixture", preset="smoke")
    code, out, err = run_cli("export", "--all", "--to", str(tmp_path / "all.zip"), "--json")
    assert (code, json.loads(out)["runs"]) == (0, over)
    assert "1 run is not over and left out" in err
    for run_id in (*over, waiting.id):
        workbench.delete(run_id)
    code, out, _ = run_cli("import", str(tmp_path / "all.zip"))
    assert sorted(out.split()) == sorted(over)


def test_delete_asks(run_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = json.loads(run_cli("run", "fixture", "--json")[1])["run"]["id"]

    class Terminal:
        answer = "n\n"

        def isatty(self) -> bool:
            return True

        def readline(self) -> str:
            return self.answer

    monkeypatch.setattr("sys.stdin", Terminal())
    code, _, err = run_cli("delete", run_id)
    assert code == 0
    assert err == f"Delete run {run_id} of fixture for good? [y/N] Nothing was deleted.\n"
    Terminal.answer = "y\n"
    assert run_cli("delete", run_id)[0] == 0
    assert run_cli("runs")[1] == "No runs.\n"


def test_cancel_tag_and_note(run_cli: Cli) -> None:
    run_id = run_cli("run", "fixture", "--detach")[1].strip()
    assert run_cli("tag", run_id, "b", "a")[0] == 0
    assert run_cli("tag", run_id, "b", "--remove")[0] == 0
    assert run_cli("note", run_id, "careful")[0] == 0
    assert run_cli("cancel", run_id)[1] == f"{run_id} cancelled\n"
    run = json.loads(run_cli("show", run_id, "--json")[1])["run"]
    assert (run["tags"], run["note"], run["status"]) == (["a"], "careful", "cancelled")
    [shown] = json.loads(run_cli("cancel", run_id, "--json")[1])
    assert shown["id"] == run_id


def test_reproduce(run_cli: Cli) -> None:
    code, out, _ = run_cli("reproduce", "fixture", "--seeds", "2")
    assert code == 0
    assert out.splitlines()[0].split()[2:4] == ["measured", "seeds"]
    assert "fixture/undecided: Too few steps to tell." in out
    document = json.loads(run_cli("reproduce", "fixture", "--seeds", "1", "--json")[1])
    assert document["claims"][0]["verdict"] == "holds"


def test_doctor(run_cli: Cli) -> None:
    code, out, _ = run_cli("doctor", "--json")
    findings = json.loads(out)
    topics = {item["topic"] for item in findings}
    assert {"device", "versions", "engines", "database", "artifacts", "disk"} <= topics
    assert code == int(any(item["verdict"] == "bad" for item in findings))
    assert "database" in run_cli("doctor")[1]


def test_doctor_of_a_database_that_cannot_be_opened(run_cli: Cli, home: Path) -> None:
    home.mkdir()
    (home / "workbench.sqlite").write_bytes(b"no database at all" * 100)
    code, out, _ = run_cli("doctor")
    assert code == 1
    assert "not a SQLite database" in out
    code, _, err = run_cli("runs")
    assert code == 1
    assert err.count("\n") == 1


def test_settings_that_are_wrong(run_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_EXECUTOR", "rays")
    code, _, err = run_cli("runs")
    assert code == 2
    assert "WORKBENCH_EXECUTOR must be one of process, inline" in err


def test_an_unexpected_error_is_a_sentence_too(run_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(arguments: Any) -> int:
        raise LookupError("of ours\nwith more")

    monkeypatch.setattr("workbench.cli.records.runs", broken)
    assert run_cli("runs") == (
        1,
        "",
        "workbench: Unexpected LookupError: of ours. Add --debug to see where.\n",
    )


def test_serve_hands_its_options_over(run_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    from types import ModuleType

    from workbench.demo_limits import DemoLimits

    calls: list[dict[str, Any]] = []
    page = ModuleType("ui.app")
    page.serve = lambda workbench, **options: calls.append(options)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ui.app", page)
    assert run_cli()[0] == 0
    assert run_cli("--port", "8000")[0] == 0
    assert run_cli("serve", "--host", "0.0.0.0", "--share", "--demo")[0] == 0
    defaults = {"host": "127.0.0.1", "port": None, "share": False, "limits": None, "mcp": False}
    assert calls == [
        defaults,
        {**defaults, "port": 8000},
        {"host": "0.0.0.0", "port": None, "share": True, "limits": DemoLimits(), "mcp": False},
    ]
