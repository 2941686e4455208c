"""An engine that says one of everything, and misbehaves on request. The test suite's plug-in."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import Literal

import numpy as np

from engines.contract import Claim, Context, Engine, Paper, Params, Preset, Refusal, Run, Upload, knob
from engines.devices import numpy_generator
from engines.events import Alert, Array, Axis, ClaimCheck, File, Picture, Progress, Scalar, Table, Text

Mode = Literal[
    "plain", "nan", "fail", "refuse", "memory", "torch_memory", "missing", "exit", "undeclared", "unexplained", "no_event",
    "float_picture", "crooked_array", "foreign_file", "kill", "stuck", "rude", "forked", "print", "burst", "no_generator",
]  # fmt: skip


class FixtureParams(Params):
    steps: int = knob(6, title="Steps", help="How many steps are made (1 to 1,000,000).", ge=1, le=1_000_000)
    rate: float = knob(
        0.5, title="Rate", help="Factor of each step, above 0 and at most 1.", gt=0, le=1, unit="1/step"
    )
    pause_s: float = knob(0.0, title="Pause", help="Sleep in each step, 0 to 60 s.", ge=0, le=60, unit="s")
    mode: Mode = knob("plain", title="Mode", help="Which fault to make.")
    label: str = knob("näme", title="Label", help="Any text of at most 40 characters.", max_length=40)
    words: list[str] = knob([], title="Words", help="Some words.", advanced=True, group="Lists")
    sizes: list[int] = knob([1, 2], title="Sizes", help="Whole numbers.", advanced=True, group="Lists")
    is_loud: bool = knob(False, title="Loud", help="Whether it prints.", advanced=True, group="Lists")
    photo: Upload = knob("", title="Photo", help="Any file.", advanced=True, group="Files", widget="file")


def check(params: FixtureParams, inputs: dict[str, Path]) -> None:
    """Refuses an empty upload."""
    if "photo" in inputs and not inputs["photo"].read_bytes():
        raise Refusal("photo", f"photo must not be empty; got {inputs['photo'].name}. Choose another file.")


def run(params: FixtureParams, context: Context) -> Run:
    """One of everything in each step."""
    if params.mode == "no_generator":
        return iter(())  # type: ignore[return-value]
    return _run(params, context)


def _run(params: FixtureParams, context: Context) -> Run:
    generator = numpy_generator(context.seed, "fixture")
    started = time.perf_counter()
    value, closed = 1.0, context.scratch.parent.parent / f"closed-{context.seed}"
    try:
        if params.mode == "burst":
            yield from _burst(params)
            return
        yield Progress(0, params.steps, "starts")
        if "photo" in context.inputs:
            yield Text("photo", f"{context.inputs['photo'].name} {len(context.inputs['photo'].read_bytes())}")
        for step in range(params.steps):
            value *= params.rate * (0.9 + 0.1 * generator.random())
            odd = params.mode == "nan" and step % 2 == 1
            yield Scalar("Ours", "error", step, math.nan if odd else value)
            yield Scalar("Base", "error", step, math.inf if odd else 2 * value)
            yield Scalar("Ours", "time/step", step, time.perf_counter() - started)
            pixels = generator.integers(0, 255, (8, 12, 3), dtype=np.uint8)
            yield Picture("strip", step, pixels, "a frame")
            yield Picture("newest", step, pixels, keep=False)
            yield Array(
                "spectrum",
                step,
                generator.random((2, 3)),
                [Axis("row", ["a", "b"]), Axis("x", [0.0, 0.5, 1.0])],
            )
            yield Progress(step + 1, params.steps)
            if params.pause_s:
                time.sleep(params.pause_s)
            if step == params.steps // 2:
                yield from _misbehave(params, context)
        yield from _last_words(params, context, value)
    finally:
        closed.write_text("closed")


def _last_words(params: FixtureParams, context: Context, value: float) -> Run:
    yield Table("result", ["who", "error"], [["Ours", value], ["Base", math.nan], ["none", None]])
    yield Text("summary", f"{params.label}: {value:.3g}")
    yield Alert("end", params.steps, "That was all.")
    path = context.scratch / "result.csv"
    path.write_text(f"error\n{value!r}\n")
    yield File("result", path, "text/csv", "The error")
    path.unlink()
    yield ClaimCheck("smaller", value, 2 * value, value < 2 * value)
    yield ClaimCheck("undecided", None, None, None, "Too few steps to tell.")


def _burst(params: FixtureParams) -> Run:
    for step in range(params.steps):
        yield Scalar("Ours", "error", step, 1.0 / (step + 1))


def _misbehave(params: FixtureParams, context: Context) -> Run:
    """The fault that the mode names."""
    match params.mode:
        case "fail":
            raise ZeroDivisionError(f"in {context.scratch}")
        case "refuse":
            raise Refusal("photo", "photo must be a picture; got a poem. Choose another file.")
        case "memory":
            raise MemoryError
        case "torch_memory":
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        case "missing":
            raise ModuleNotFoundError("No module named 'cmfrec'", name="cmfrec")
        case "exit":
            sys.exit(3)
        case "undeclared":
            yield ClaimCheck("invented", 1.0, None, True)
        case "unexplained":
            yield ClaimCheck("smaller", None, None, None)
        case "no_event":
            yield "hello"  # type: ignore[misc]
        case "float_picture":
            yield Picture("strip", 0, np.zeros((4, 4, 3)))  # type: ignore[arg-type]
        case "crooked_array":
            yield Array("spectrum", 0, np.zeros((2, 2)), [Axis("x", [1, 2])])
        case "foreign_file":
            yield File("loot", Path(__file__), "text/plain")
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "print":
            print("an engine that prints to standard output")
        case "stuck":
            time.sleep(600)
        case "forked":
            yield from _forked()
        case "rude":
            yield from _rude()


def _forked() -> Run:
    """A child that outlives its parent and holds every pipe of it open."""
    if os.fork() == 0:
        time.sleep(600)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)
    yield Text("never", "reached")


def _rude() -> Run:
    """Does not let itself be closed."""
    while True:
        try:
            yield Progress(1, 2)
            time.sleep(0.01)
        except GeneratorExit:
            yield Progress(2, 2)


ENGINE = Engine(
    paper=Paper(
        key="fixture",
        title="On the convergence of test suites",
        authors=("A. Tester",),
        year=2026,
        family="estimation",
        summary="Halves an error in each step, and says one of everything on the way.",
        short="Fixture",
    ),
    params=FixtureParams,
    run=run,
    claims=(
        Claim("smaller", "The error is smaller than the baseline's.", "half", "section 1", "m"),
        Claim("undecided", "It would be better with more steps."),
    ),
    presets={
        "smoke": Preset("Smoke", "Three steps.", {"steps": 3}),
        "default": Preset("Default", "Six steps."),
        "paper": Preset("Paper", "A hundred steps.", {"steps": 100}),
    },
    headline=("Ours", "error"),
    about=Path(__file__).with_name("about.md"),
    check=check,
    reproduce={"steps": 8},
)
