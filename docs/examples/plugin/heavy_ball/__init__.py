"""Polyak's heavy ball against gradient descent on a quadratic: a complete engine in one file."""

from pathlib import Path

import numpy as np

from engines.contract import Claim, Context, Engine, Paper, Params, Preset, Run, knob
from engines.devices import numpy_generator
from engines.events import ClaimCheck, Progress, Scalar


class HeavyBallParams(Params):
    dimension: int = knob(
        50, title="Dimension", help="Unknowns of the quadratic (2 to 2,000).", ge=2, le=2000
    )
    condition: float = knob(
        1000.0,
        title="Condition number",
        help="Largest over smallest curvature (2 to 100,000).",
        ge=2,
        le=1e5,
        log=True,
    )
    steps: int = knob(600, title="Steps", help="Steps of each method (10 to 20,000).", ge=10, le=20_000)


def step(x, before, curvature, rate, momentum):
    """One step of x' = x - rate * f'(x) + momentum * (x - before) for f(x) = curvature @ x**2 / 2; momentum 0 is
    gradient descent. `x`, `before`, `curvature`: float64 [dimension]. Source: Polyak (1964)."""
    return x - rate * curvature * x + momentum * (x - before), x


def run(params: HeavyBallParams, context: Context) -> Run:
    """Both methods from one random start, each with its optimal constants."""
    start = numpy_generator(context.seed, "start").standard_normal(params.dimension)
    curvature = np.geomspace(1.0, params.condition, params.dimension)
    root = np.sqrt(params.condition)
    constants = {
        "Heavy ball": (4 / (1 + root) ** 2, ((root - 1) / (root + 1)) ** 2),
        "Gradient descent": (2 / (1 + params.condition), 0.0),
    }
    states = dict.fromkeys(constants, (start, start))
    for number in range(1, params.steps + 1):
        for name, (rate, momentum) in constants.items():
            states[name] = step(*states[name], curvature, rate, momentum)
            error = np.linalg.norm(states[name][0]) / np.linalg.norm(start)
            yield Scalar(name, "relative error", number, error)
        yield Progress(number, params.steps)
    ours, base = (float(np.linalg.norm(x) / np.linalg.norm(start)) for x, _ in states.values())
    yield ClaimCheck("faster", ours, base, ours < base)


ENGINE = Engine(
    paper=Paper(
        key="heavy_ball",
        title="Some methods of speeding up the convergence of iteration methods",
        authors=("Boris T. Polyak",),
        year=1964,
        family="optimizers",
        summary="A little inertia makes gradient descent need the square root of its steps.",
        short="Heavy ball",
        venue="USSR Computational Mathematics and Mathematical Physics",
    ),
    params=HeavyBallParams,
    run=run,
    claims=(Claim("faster", "After the same number of steps the heavy ball is nearer to the minimum."),),
    presets={
        "smoke": Preset("Smoke", "A second's work.", {"steps": 50, "dimension": 10, "condition": 20.0}),
        "default": Preset("Default", "Condition number 1,000."),
        "paper": Preset("Full size", "Condition number 100,000.", {"condition": 1e5, "steps": 5000}),
    },
    headline=("Heavy ball", "relative error"),
    headline_label="relative error",
    about=Path(__file__).with_name("about.md"),
)
