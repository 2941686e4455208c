import io
from typing import Any

import pytest

from engines.events import Progress, Scalar
from workbench.cli import progress
from workbench.cli.progress import ProgressLine, TimeLeft
from workbench.cli.text import cut, number, seconds, table, when


class Terminal(io.StringIO):
    encoding = "utf-8"  # type: ignore[assignment]

    def isatty(self) -> bool:
        return True


class Ascii(Terminal):
    encoding = "ascii"  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0.0421, "0.042 s"),
        (3.26, "3.3 s"),
        (12.4, "12 s"),
        (59.7, "1 min 0 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
    ],
)
def test_seconds(value: float | None, shown: str) -> None:
    assert seconds(value) == shown


def test_numbers_dates_and_cuts() -> None:
    assert (number(None), number(1234567.0), number(float("nan"))) == ("–", "1.235e+06", "nan")
    assert when(None) == "–"
    assert len(when(0.0)) == 16
    assert (cut("a  b\nc", 10), cut("abcdef", 4)) == ("a b c", "abc…")


def test_table_is_aligned() -> None:
    assert table(["a", "b"], [["long", "1"], ["x", "22"]], right=(1,)) == "a      b\nlong   1\nx     22"


def test_table_fits_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", Terminal())
    monkeypatch.setenv("COLUMNS", "30")
    lines = table(["a", "text"], [["1", "word " * 20]]).splitlines()
    assert max(map(len, lines)) <= 30
    assert lines[1].endswith("…")


def test_progress_line_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "REDRAW_S", 0.0)
    monkeypatch.setattr(progress, "RATE_WINDOW_S", 0.0)
    for stream, bar in ((Terminal(), "█"), (Ascii(), "#")):
        line = ProgressLine("fixture", stream)
        for event in (Progress(0, 10, "starts"), Scalar("a", "b", 0, 1.0), Progress(5, 10, "goes on")):
            line(event)
        line.say("Stop.")
        text = stream.getvalue()
        assert "fixture" in text
        assert " 50%" in text
        assert "left" in text
        assert "goes on" in text
        assert bar in text
        assert text.endswith("\r\x1b[KStop.\n")


def test_no_progress_line_without_a_terminal() -> None:
    stream = io.StringIO()
    line = ProgressLine("fixture", stream)
    line(Progress(1, 2))
    line.clear()
    assert stream.getvalue() == ""


def test_time_left_follows_the_rate() -> None:
    left = TimeLeft(0.0)
    assert left.seconds(10) is None
    left.observe(1, 1.0)
    assert left.seconds(10) == pytest.approx(10)
    left.observe(1, 2.0)
    left.observe(5, 2.0)
    assert left.seconds(10) == pytest.approx(10 / (0.3 * 4 + 0.7 * 1))
    rates: list[Any] = [left.seconds(0)]
    assert rates == [0]
