"""What would repeat a run: the command and the Python lines that a page shows under "show me the command"."""

from __future__ import annotations

import json
import pprint
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from storage import Run
from workbench.catalog import Catalog
from workbench.values import changes_from


@dataclass(frozen=True)
class Recipe:
    """Engine, preset, what differs from it, and the seed."""

    engine: str
    preset: str
    changes: Mapping[str, Any]
    seed: int

    @classmethod
    def of(cls, catalog: Catalog, engine: str, params: Mapping[str, Any], preset: str, seed: int) -> Recipe:
        """The shortest recipe for these parameters. They need not be valid, so a form may ask while it is being
        filled in. An engine that is not here keeps all its parameters."""
        known = catalog.engines.get(engine)
        changes = changes_from(known, params, preset) if known else dict(params)
        return cls(engine, preset, changes, seed)

    @classmethod
    def of_run(cls, catalog: Catalog, run: Run) -> Recipe:
        """The recipe of a recorded run."""
        return cls.of(catalog, run.engine, run.params, run.preset, run.seed)

    def command_line(self) -> str:
        """For a POSIX shell."""
        words = ["workbench", "run", self.engine]
        if self.preset:
            words += ["--preset", self.preset]
        words += ["--seed", str(self.seed)]
        for name, value in self.changes.items():
            words += ["--set", f"{name}={_word(value)}"]
        return shlex.join(words)

    def python_code(self) -> str:
        """Lines that record the same run from Python."""
        values = pprint.pformat(dict(self.changes), indent=1, width=88, sort_dicts=False)
        indented = values.replace("\n", "\n        ")
        return (
            "from workbench import Settings, Workbench\n\n"
            "with Workbench.open(Settings.from_environment()) as workbench:\n"
            "    run = workbench.create(\n"
            f"        {self.engine!r},\n"
            f"        {indented},\n"
            f"        preset={self.preset or 'default'!r},\n"
            f"        seed={self.seed},\n"
            "    )\n"
            "    run = workbench.run_inline(run.id)\n"
            "    print(run.status, workbench.record(run.id).claims())\n"
        )


def _word(value: Any) -> str:
    """A value as `--set` reads it back."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        plain = all(
            isinstance(item, int | float) or (isinstance(item, str) and _is_plain(item)) for item in value
        )
        return ",".join(map(str, value)) if plain and value else json.dumps(list(value))
    if isinstance(value, dict):
        return json.dumps(value)
    return repr(value) if isinstance(value, float) else str(value)


def _is_plain(text: str) -> bool:
    """Whether a list of such words can be written with commas."""
    return bool(text) and text == text.strip() and "," not in text and not text.startswith("[")
