"""`workbench engines` and `workbench doctor`: what is here."""

from __future__ import annotations

import argparse
import sys

from workbench.catalog import Catalog
from workbench.cli.text import table
from workbench.settings import Settings


def engines(arguments: argparse.Namespace) -> int:
    """List the engines. Opens no database."""
    from workbench.documents import engine_object, to_text

    catalog = Catalog.load()
    if arguments.json:
        print(to_text([engine_object(engine, catalog) for engine in catalog.engines.values()]))
    else:
        rows = [
            [
                engine.key,
                engine.paper.family,
                str(engine.paper.year),
                ", ".join(engine.presets),
                engine.paper.title,
            ]
            for engine in catalog.engines.values()
        ]
        print(table(["key", "family", "year", "presets", "title"], rows))
    for sentence in catalog.broken.values():
        print(f"workbench: {sentence}", file=sys.stderr)
    return 0


def doctor(arguments: argparse.Namespace) -> int:
    """Examine the installation; 1 where something is bad."""
    from storage import StorageError
    from workbench import doctor as examination
    from workbench.documents import to_text
    from workbench.errors import StorageTrouble
    from workbench.runs import Workbench

    try:
        with Workbench.open(Settings.from_environment()) as workbench:
            findings = examination.examine(workbench)
    except (StorageTrouble, StorageError) as error:
        findings = [examination.unreadable(error)]
    if arguments.json:
        print(
            to_text(
                [{"topic": item.topic, "verdict": item.verdict, "words": item.words} for item in findings]
            )
        )
    else:
        marks = {"good": "ok", "note": "note", "bad": "BAD"}
        print(
            table(["", "", ""], [[item.topic, marks[item.verdict], item.words] for item in findings]).lstrip(
                "\n"
            )
        )
    return 1 if any(item.verdict == "bad" for item in findings) else 0
