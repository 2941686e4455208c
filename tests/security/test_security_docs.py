"""docs/security.md names a test for each attack, and every test of this folder stands there."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
DOCS = TESTS.parent / "docs"


def _tests(folder: Path) -> set[str]:
    return {
        name
        for path in folder.rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text("utf-8"), re.M)
    }


def test_each_attack_has_a_test_and_each_test_its_line() -> None:
    named = set(re.findall(r"`(test_\w+)`", (DOCS / "security.md").read_text("utf-8")))
    assert named <= _tests(TESTS)
    helpers = {
        "test_each_attack_has_a_test_and_each_test_its_line", "test_honest_files_pass", "test_what_is_allowed_stays_allowed",
        "test_the_owner_has_no_limit", "test_a_limit_that_cannot_be_understood_stops_the_start",
    }  # fmt: skip
    assert _tests(Path(__file__).parent) - named == helpers
