"""`workbench space build DIR`, `workbench space push ID`."""

from __future__ import annotations

import argparse
from pathlib import Path

from workbench.cli.output import engines_print_to_stderr, print_json
from workbench.runs import Workbench
from workbench.settings import Settings


def space(arguments: argparse.Namespace) -> int:
    """Build or push, as the first word says."""
    return build(arguments) if arguments.what == "build" else push(arguments)


def build(arguments: argparse.Namespace) -> int:
    """Write the folder of a Space."""
    from workbench import space as made

    folder = Path(arguments.target)
    with Workbench.open(Settings.from_environment()) as workbench:
        ids = [workbench.find(word).id for word in arguments.runs]
        with engines_print_to_stderr():
            shown = made.build(
                workbench,
                folder,
                title=arguments.title,
                runs=ids,
                zero_gpu=arguments.zero_gpu,
                oauth=arguments.oauth,
            )
    if arguments.json:
        print_json({"folder": str(folder), "showcase": shown})
    else:
        print(f"A Space with {len(shown)} showcase runs is in {folder}. Try it: python {folder}/app.py")
        print(f"To the Hub: workbench space push OWNER/NAME --folder {folder}")
    return 0


def push(arguments: argparse.Namespace) -> int:
    """Upload a built folder."""
    from workbench import space as made

    address = made.push(Path(arguments.folder), arguments.target, private=arguments.private)
    print_json({"url": address}) if arguments.json else print(f"Pushed: {address}")
    return 0
