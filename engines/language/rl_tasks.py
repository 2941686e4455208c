"""Problems to learn on: the embedded additions, the same in words for other models, or the user's JSON lines."""

from __future__ import annotations

import json
from pathlib import Path

from engines.contract import Refusal
from engines.language import char_policy
from engines.language.char_policy import Problem

DIFFICULTIES = {"easy": 9, "medium": 19, "hard": 29}
"""Largest operand; the embedded policy saw 0 to 19 in pre-training, so "hard" holds problems that are new to it."""
MOST_LINES = 200_000


def additions(difficulty: str, in_words: bool) -> tuple[list[Problem], list[Problem]]:
    """(training, held-out) additions; `in_words` for models that were not trained on "07+15="."""
    train, held_out = char_policy.split_problems(DIFFICULTIES[difficulty])
    return (
        ([_in_words(p) for p in train], [_in_words(p) for p in held_out]) if in_words else (train, held_out)
    )


def _in_words(problem: Problem) -> Problem:
    left, right = problem.prompt.rstrip("=").split("+")
    return Problem(f"Question: What is {int(left)} + {int(right)}?\nAnswer: ", problem.answer)


def read_problems(path: Path, field: str) -> tuple[list[Problem], list[Problem]]:
    """(training, held-out) problems of a file of JSON lines with "prompt" and "answer"; every fifth line is held
    out. Raises `Refusal` with the number of the line that is wrong."""
    problems = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise Refusal(
            field, f"{field} must be a UTF-8 file of JSON lines; byte {error.start} is not UTF-8."
        ) from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            problems.append(_problem(line, number, field))
    if not 5 <= len(problems) <= MOST_LINES:
        raise Refusal(
            field,
            f"{field} must hold 5 to {MOST_LINES:,} problems, one JSON object a line; got {len(problems)}.",
        )
    return [p for i, p in enumerate(problems) if i % 5 != 4], problems[4::5]


def _problem(line: str, number: int, field: str) -> Problem:
    try:
        found = json.loads(line)
    except json.JSONDecodeError as error:
        raise Refusal(
            field, f"{field} line {number} is not JSON: {error.msg} at column {error.colno}."
        ) from error
    if not isinstance(found, dict) or not isinstance(found.get("prompt"), str) or not found["prompt"]:
        raise Refusal(field, f'{field} line {number} must be an object with a text "prompt" and an "answer".')
    if not isinstance(found.get("answer"), str | int | float):
        raise Refusal(field, f'{field} line {number} needs an "answer" that is text or a number.')
    return Problem(found["prompt"], str(found["answer"]))
