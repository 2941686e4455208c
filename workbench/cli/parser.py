"""The words of the command line. Imports nothing but the standard library, so that help is quick."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from workbench.errors import UsageError, near_match

DEFAULT_SEEDS = 3
MAX_SEED = 2**32 - 1
STATUSES = ("queued", "running", "finished", "failed", "cancelled", "interrupted")
ORDERS = ("created_at", "engine", "status", "duration", "headline", "seed")
FORMATS = ("bundle", "json", "csv", "parquet", "html", "figures")
TABLE_FORMATS = ("csv", "json", "parquet")
TOP_LEVEL = ("-h", "--help", "--version")


class Parser(argparse.ArgumentParser):
    """Tells wrong usage in one sentence."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError instead of printing the usage and leaving."""
        raise UsageError(f"{message[:1].upper()}{message[1:]}. See {self.prog} --help.")


def parse_arguments(words: Sequence[str]) -> argparse.Namespace:
    """The arguments of a command; `handler` names the function that carries it out as `module:function`.

    No command means `serve`. Raises UsageError, and SystemExit(0) after help was printed."""
    parser, names = build_parser()
    given = list(words)
    if not given or (given[0].startswith("-") and given[0] not in TOP_LEVEL):
        given.insert(0, "serve")
    if not given[0].startswith("-") and given[0] not in names:
        hint = near_match(given[0], names)
        rest = f"Did you mean {hint}?" if hint else f"Commands: {', '.join(names)}."
        raise UsageError(f"There is no command {given[0]!r}. {rest}")
    return parser.parse_args(given)


def build_parser() -> tuple[Parser, list[str]]:
    """The parser and the names of all commands."""
    parser = Parser(
        prog="workbench",
        description="Machine-learning papers, live: run a method beside its baselines, watch it, keep the record.",
        epilog="Without a command it opens the page in the browser. Exit codes: 0 done, 1 the run failed, "
        "2 wrong usage or invalid parameters, 130 interrupted.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, help="print the version and leave")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)
    names: list[str] = []

    def command(name: str, handler: str, help: str, *, has_json: bool = False) -> Parser:
        names.append(name)
        made: Parser = commands.add_parser(
            name, help=help, description=help[:1].upper() + help[1:] + ".", allow_abbrev=False
        )
        made.set_defaults(handler=f"workbench.cli.{handler}", json=False)
        made.add_argument("--debug", action="store_true", help="show the traceback of an error")
        if has_json:
            made.add_argument("--json", action="store_true", help="print exactly one JSON document")
        return made

    _add_doing(command)
    _add_records(command)
    return parser, names


def _add_doing(command: Callable[..., Parser]) -> None:
    serve = command("serve", "serve:serve", "open the page in the browser")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    serve.add_argument(
        "--port", type=_whole(1, 65535), help="port to listen on (default: the first free from 7860)"
    )
    serve.add_argument("--share", action="store_true", help="also open a public link through Gradio")
    serve.add_argument(
        "--demo", action="store_true", help="for visitors: separated, limited, no local folders"
    )

    serve.add_argument("--mcp", action="store_true", help="also serve the public endpoints as MCP tools")

    command("engines", "inspecting:engines", "list what can be run", has_json=True)

    run = command("run", "running:run", "run an engine in the foreground, recorded", has_json=True)
    run.add_argument("key", nargs="?", metavar="KEY", help="the engine; may be left out with --from")
    run.add_argument("--preset", help="named setting to start from (default: default)")
    run.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="assignments",
        help="a parameter; lists as a,b,c or JSON; NAME=@PATH hands a file over",
    )  # fmt: skip
    run.add_argument("--seed", type=_whole(0, MAX_SEED), help="seed of all randomness (default 0)")
    run.add_argument(
        "--from", dest="parent", metavar="RUN", help="start from the parameters and seed of a run"
    )
    run.add_argument("--tag", action="append", default=[], dest="tags", help="a tag for the run")
    run.add_argument("--note", default="", help="a note for the run")
    run.add_argument("--detach", action="store_true", help="only queue it, for a server on the same database")

    _add_sweep(command)
    _add_claims(command)
    _add_space(command)

    command(
        "doctor",
        "inspecting:doctor",
        "check devices, versions, engines, database, artifacts and disk",
        has_json=True,
    )


def _add_claims(command: Callable[..., Parser]) -> None:
    reproduce = command(
        "reproduce",
        "running:reproduce_claims",
        "run embedded experiments and print the claims table",
        has_json=True,
    )
    reproduce.add_argument("keys", nargs="*", metavar="KEY", help="engines (default: all)")
    reproduce.add_argument(
        "--seeds",
        type=_whole(1, 1000),
        default=DEFAULT_SEEDS,
        help=f"seeds an engine (default {DEFAULT_SEEDS})",
    )

    claims = command(
        "claims", "running:claims", "show what the recorded runs say of the papers' claims", has_json=True
    )
    claims.add_argument("keys", nargs="*", metavar="KEY", help="engines (default: all)")


def _add_space(command: Callable[..., Parser]) -> None:
    space = command(
        "space", "space:space", "build a Space of this workbench, or push it to the Hub", has_json=True
    )
    space.add_argument("what", choices=("build", "push"), help="what to do")
    space.add_argument(
        "target", metavar="DIR|ID", help="build: the folder to write; push: NAME or OWNER/NAME of the Space"
    )
    space.add_argument("--title", default="Paper Workbench", help="title of the Space")
    space.add_argument(
        "--run", action="append", default=[], dest="runs", metavar="ID",
        help="a run for the showcase (default: those tagged published, else the newest of each engine)",
    )  # fmt: skip
    space.add_argument(
        "--zero-gpu", action="store_true", help="for ZeroGPU hardware: runs execute in the request"
    )
    space.add_argument("--oauth", action="store_true", help="let the owner log in with the Hub")
    space.add_argument("--folder", default="space", help="push: the built folder (default space)")
    space.add_argument("--private", action="store_true", help="push: make a new Space private")


def _add_sweep(command: Callable[..., Parser]) -> None:
    sweep = command("sweep", "sweeping:sweep", "run an engine over values of its parameters", has_json=True)
    sweep.add_argument("key", nargs="?", metavar="KEY", help="the engine; left out with --resume")
    sweep.add_argument(
        "--over", action="append", default=[], metavar="NAME=VALUES", dest="axes",
        help="an axis, one to three of them: rank=2,5,10, rank=5:50:5 or rate=1e-4:1e-1:*10 (ends included)",
    )  # fmt: skip
    sweep.add_argument("--seeds", type=_whole(1, 100), default=1, help="seeds a cell (default 1)")
    sweep.add_argument("--seed", type=_whole(0, MAX_SEED), default=0, help="the first seed (default 0)")
    sweep.add_argument("--preset", default="default", help="named setting to start from (default: default)")
    sweep.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="assignments",
        help="a parameter of all cells, as for run",
    )  # fmt: skip
    sweep.add_argument("--tag", action="append", default=[], dest="tags", help="a tag for all its runs")
    sweep.add_argument("--note", default="", help="a note for the sweep")
    sweep.add_argument(
        "--resume",
        metavar="SWEEP",
        help="run the cells of a sweep again that gave no result, and those that wait",
    )
    sweep.add_argument(
        "--detach", action="store_true", help="only queue it, for a server on the same database"
    )


def _add_records(command: Callable[..., Parser]) -> None:
    runs = command("runs", "records:runs", "list runs, newest first", has_json=True)
    runs.add_argument(
        "--engine", action="append", default=[], dest="engines", metavar="KEY", help="only of this engine"
    )
    runs.add_argument(
        "--status",
        action="append",
        default=[],
        dest="statuses",
        choices=STATUSES,
        help="only with this status",
    )
    runs.add_argument("--tag", action="append", default=[], dest="tags", help="only with this tag")
    runs.add_argument("--preset", help="only of this preset")
    runs.add_argument("--seed", type=_whole(0, MAX_SEED), help="only with this seed")
    runs.add_argument("--text", default="", help="words in the id, engine, preset, note, parameters or a tag")
    runs.add_argument(
        "--order", choices=ORDERS, default="created_at", help="what to sort by (default created_at)"
    )
    runs.add_argument("--ascending", action="store_true", help="smallest or oldest first")
    runs.add_argument("--limit", type=_whole(1, 100_000), help="how many (default 50; in a file all)")
    runs.add_argument("--offset", type=_whole(0, 10**9), default=0, help="how many to skip")
    runs.add_argument("--to", metavar="PATH", help="write the table to a file, with all parameters")
    runs.add_argument(
        "--format",
        choices=TABLE_FORMATS,
        help="of the table (default: by the ending of PATH); alone it is printed",
    )

    of_run = "its id, the last characters of it (four at least), or: last"
    show = command("show", "records:show", "show one run", has_json=True)
    show.add_argument("id", metavar="ID", help=of_run)

    export = command(
        "export", "records:export", "write runs to a file, or send them to a tracker", has_json=True
    )
    export.add_argument("ids", nargs="*", metavar="ID", help=of_run)
    export.add_argument("--all", action="store_true", help="in place of ids: every run that is over")
    export.add_argument(
        "--to", metavar="PATH", help="file, or folder (with a / at its end) for one file a run"
    )
    export.add_argument(
        "--format",
        choices=FORMATS,
        help="default: by the ending of PATH, of a folder bundle; html is a report to read, figures are SVG, PNG and PDF files in a folder",
    )

    export.add_argument(
        "--log-to", metavar="TRACKER:WHERE",
        help="tensorboard:DIR, mlflow:URI, wandb:PROJECT (offline) or trackio:PROJECT, in place of --to",
    )  # fmt: skip

    bring = command(
        "import", "records:bring", "bring in runs: a bundle, or curves made elsewhere", has_json=True
    )
    bring.add_argument(
        "path",
        metavar="PATH",
        help="a bundle, a table of curves (CSV, Parquet), a TensorBoard event file or a folder of them",
    )

    _add_changes(command, of_run)


def _add_changes(command: Callable[..., Parser], of_run: str) -> None:
    delete = command("delete", "records:delete", "delete runs with all that they recorded", has_json=True)
    delete.add_argument("ids", nargs="+", metavar="ID", help=of_run)
    delete.add_argument("--yes", action="store_true", help="do not ask")

    cancel = command(
        "cancel", "records:cancel", "stop a queued or running run, keeping what it recorded", has_json=True
    )
    cancel.add_argument("ids", nargs="+", metavar="ID", help=of_run)

    tag = command("tag", "records:tag", "add tags to a run, or take them away", has_json=True)
    tag.add_argument("id", metavar="ID", help=of_run)
    tag.add_argument("tags", nargs="+", metavar="TAG", help="a word of at most 64 characters")
    tag.add_argument("--remove", action="store_true", help="take these tags away")

    note = command("note", "records:note", "write a note to a run", has_json=True)
    note.add_argument("id", metavar="ID", help=of_run)
    note.add_argument("text", help="the note; empty takes it away")


class _Version(argparse.Action):
    """Asks for the version only when it is wanted."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        import importlib.metadata

        print(f"workbench {importlib.metadata.version('paper-workbench')}")
        parser.exit()


def _whole(low: int, high: int) -> Callable[[str], int]:
    """Reads a whole number from `low` to `high`."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be a whole number from {low} to {high}; got {text!r}")
        return value

    return read
