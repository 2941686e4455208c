import shlex
import subprocess
import sys
from typing import Any

import pytest

from workbench.cli.parser import parse_arguments
from workbench.runs import Workbench
from workbench.values import parse_assignments

VALUES: dict[str, Any] = {
    "rate": 0.1,
    "label": 'it\'s a "quoted" näme = $HOME',
    "words": ["plain", "with, comma", " padded "],
    "sizes": [3, 1],
    "is_loud": True,
}


@pytest.mark.parametrize("values", [{}, VALUES, {"words": ["a", "b"]}, {"sizes": []}])
def test_the_command_line_repeats_the_run(workbench: Workbench, values: dict[str, Any]) -> None:
    run = workbench.create("fixture", values, preset="smoke", seed=9)
    words = shlex.split(workbench.command_line(run))
    assert words[0] == "workbench"
    arguments = parse_arguments(words[1:])
    again = parse_assignments(workbench.catalog.engine("fixture"), arguments.assignments, lambda path: "")
    assert (
        workbench.create(arguments.key, again, preset=arguments.preset, seed=arguments.seed).params
        == run.params
    )
    assert len(arguments.assignments) == len(values), "only what differs from the preset is shown"


def test_the_python_lines_repeat_the_run(workbench: Workbench, plugin: Any) -> None:
    run = workbench.create("fixture", VALUES, preset="smoke", seed=9)
    subprocess.run(
        [sys.executable, "-W", "error", "-c", workbench.python_code(run)], check=True, capture_output=True
    )
    [newest, first] = [row.run for row in workbench.runs().rows]
    assert first.id == run.id
    assert (newest.params, newest.seed, newest.preset) == (run.params, 9, "smoke")
    assert newest.status == "finished"


def test_a_form_may_ask_before_it_is_valid(workbench: Workbench) -> None:
    subject = ("fixture", {"steps": "many", "rate": 0.5}, "default", 3)
    assert (
        workbench.command_line(subject) == "workbench run fixture --preset default --seed 3 --set steps=many"
    )
    assert "'steps': 'many'" in workbench.python_code(subject)
    gone = ("gone", {"a": None, "b": {"c": 1}}, "", 0)
    assert workbench.command_line(gone) == "workbench run gone --seed 0 --set a=none --set 'b={\"c\": 1}'"
