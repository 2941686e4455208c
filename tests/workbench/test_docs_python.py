"""The Python of the manual runs as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from workbench.cli.parser import build_parser

DOCS = Path(__file__).parents[2] / "docs"
SNIPPET = re.compile(r"^```python\n(.*?)^```", re.M | re.S)


def snippets(page: str) -> list[str]:
    return SNIPPET.findall((DOCS / page).read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", ["api-python.md", "adding-an-engine.md"])
def test_the_snippets_run_one_after_the_other(page: str, home: Path) -> None:
    found = snippets(page)
    assert found
    code = "\n".join(found)
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "failed" not in done.stdout


def test_the_sections_of_the_manual_are_those_that_are_checked() -> None:
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("names", Path(__file__).parents[1] / "contract" / "contract_names.py")
    assert spec is not None
    assert spec.loader is not None
    names = module_from_spec(spec)
    spec.loader.exec_module(names)
    text = (DOCS / "adding-an-engine.md").read_text(encoding="utf-8").replace("\n", " ")
    for section in names.SECTIONS:
        assert f"*{section.removeprefix('## ')}*" in text


def test_every_command_of_the_manual_exists() -> None:
    names = build_parser()[1]
    for page in DOCS.glob("*.md"):
        for word in re.findall(r"^workbench ([a-z]+)", page.read_text(encoding="utf-8"), re.M):
            assert word in names, f"{page.name}: workbench {word}"
