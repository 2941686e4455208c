"""Questions to what finished runs have kept, answered in a process of its own.

A model that is asked may be large, and torch must not come into the server: a helper process loads it, answers, and ends
after ten quiet minutes. One question at a time; an answer that takes too long ends the helper, not the server.
Each line to the helper is `{"engine", "files", "question"}`, each line back `{"columns", "rows"}` or `{"refused"}` or
`{"failed"}`, a sentence.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engines.contract import Inquiry, Refusal
from workbench.errors import RunFailed, UsageError

ANSWER_S = 180.0
"""Longest wait for an answer, in seconds; a helper that takes longer is ended."""
BUSY_S = 30.0
"""Longest wait for the question before."""
QUIET_S = 600.0
REMEMBERED = 64
COMMAND = ("-m", "workbench.inquiry")


@dataclass(frozen=True)
class Told:
    """An answer: a table with one row an answer."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass
class Inquirer:
    """Puts questions to a helper process, which is started at the first one. Safe to share between threads."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _helper: subprocess.Popen[str] | None = None
    _known: OrderedDict[tuple[Any, ...], Told] = field(default_factory=OrderedDict)

    def ask(self, engine_key: str, inquiry: Inquiry, files: Sequence[Path], question: str) -> Told:
        """The engine's answer. Raises UsageError (a bad question, or one too many at a time), RunFailed."""
        text = " ".join(question.split())
        if not text:
            raise UsageError("question must not be empty; write what you want to ask.")
        if len(text) > inquiry.max_length:
            raise UsageError(
                f"question must have at most {inquiry.max_length} characters; got {len(text)}. Ask something shorter."
            )
        key = (engine_key, *map(str, files), text)
        if not self._lock.acquire(timeout=BUSY_S):
            raise UsageError("Another question is being answered. Ask again in a moment.")
        try:
            if key not in self._known:
                self._known[key] = self._answer(
                    {"engine": engine_key, "files": list(map(str, files)), "question": text}
                )
                while len(self._known) > REMEMBERED:
                    self._known.popitem(last=False)
            return self._known[key]
        finally:
            self._lock.release()

    def close(self) -> None:
        """End the helper."""
        helper, self._helper = self._helper, None
        if helper is not None:
            helper.kill()
            helper.wait()
            for pipe in (helper.stdin, helper.stdout):
                if pipe is not None:
                    pipe.close()

    def _answer(self, asked: dict[str, Any]) -> Told:
        for is_last in (False, True):  # a helper that has gone quiet and left is replaced once
            helper = self._running()
            assert helper.stdin is not None
            assert helper.stdout is not None
            try:
                helper.stdin.write(json.dumps(asked) + "\n")
                helper.stdin.flush()
                ready, _, _ = select.select([helper.stdout], [], [], ANSWER_S)
                line = helper.stdout.readline() if ready else ""
            except OSError:
                line, ready = "", [helper.stdout]
            if line:
                return _told(json.loads(line))
            self.close()
            if not ready:
                raise RunFailed(f"The models did not answer within {ANSWER_S:g} s.")
            if is_last:
                break
        raise RunFailed(
            "The process that asks the models ended before it answered; they may not fit into memory."
        )

    def _running(self) -> subprocess.Popen[str]:
        if self._helper is None or self._helper.poll() is not None:
            self.close()
            self._helper = subprocess.Popen(
                [sys.executable, *COMMAND], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )  # fmt: skip
        return self._helper


def _told(answer: dict[str, Any]) -> Told:
    if "refused" in answer:
        raise UsageError(answer["refused"])
    if "failed" in answer:
        raise RunFailed(answer["failed"])
    return Told(tuple(answer["columns"]), tuple(tuple(row) for row in answer["rows"]))


def main() -> None:
    """The helper: answers lines until the input ends or nobody asks for ten minutes."""
    from workbench.catalog import Catalog

    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not get between the answers
    catalog = Catalog.load()
    while select.select([sys.stdin], [], [], QUIET_S)[0] and (line := sys.stdin.readline()):
        report.write(json.dumps(_handle(catalog, json.loads(line))) + "\n")
        report.flush()


def _handle(catalog: Any, asked: dict[str, Any]) -> dict[str, Any]:
    from workbench.failures import explain

    try:
        inquiry = catalog.engine(asked["engine"]).inquiry
        table = inquiry.answer([Path(name) for name in asked["files"]], asked["question"])
    except Refusal as error:
        return {"refused": error.sentence}
    except Exception as error:
        return {"failed": explain(error).sentence}
    return {"columns": list(table.columns), "rows": [list(row) for row in table.rows]}


if __name__ == "__main__":
    main()
