"""The contenders of a run, each as an iterator of snapshots after its outer iterations."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engines.devices import numpy_generator

if TYPE_CHECKING:
    from engines.estimation.matrix_completion.method.alternating import Info, Options
    from engines.estimation.matrix_completion.method.compiled import RowTeam
    from engines.estimation.matrix_completion.method.observations import Observations
    from engines.estimation.matrix_completion.settings import Settings

ROBUST = "Robust AM"
ACCELERATED = "Robust AM, accelerated"
SPLIT = "Robust AM, split samples"
NAMES = {
    "exact": "Exact AM",
    "sketch": "Sketch per row",
    "softimpute": "SoftImpute",
    "lmafit": "LMaFit",
    "scaled_gradient": "Scaled gradient",
    "mean": "Mean fill",
    "cmfrec": "cmfrec",
}
"""Rivals of the settings to their series."""

AM_NAMES = (ROBUST, ACCELERATED, SPLIT, "Exact AM", "Sketch per row")
"""Contenders that are alternating minimisation and so have an `Info`."""

FIRST_ORDER = ("softimpute", "lmafit", "scaled_gradient")
STEPS_A_ROUND = 3
"""Steps that a first-order rival makes in each round of the race, where alternating minimisation makes one: its
steps cost about a third as many passes over the entries or less."""

SOFT_DECAY = 0.6
"""SoftImpute's threshold falls by this factor a step, from the largest singular value on."""


@dataclass(frozen=True)
class Snapshot:
    """A contender after an outer iteration (0: its start): M ~ left right^T, factors m x k and n x k."""

    iteration: int
    left: NDArray[Any]
    right: NDArray[Any]
    residual: float
    """Relative, on the entries used; NaN at the start."""
    passes: float
    """Cumulative work in passes over the entries."""
    info: Info | None = None
    singular: NDArray[Any] | None = None


@dataclass(frozen=True)
class Plan:
    """One contender of one run: what it is called and with which rank and ridge it runs."""

    key: str
    """"robust", "accelerated", "split" or a rival's key."""
    name: str
    rank: int
    ridge: float
    """Absolute, as in `MatrixCompletion`; SoftImpute's final threshold."""


@dataclass
class Racer:
    """A contender under way: its iterator, the time it took, and why it ended."""

    plan: Plan
    snapshots: Iterator[Snapshot]
    cpu_s: float = 0.0
    wall_s: float = 0.0
    last: Snapshot | None = None
    note: str = ""
    over: bool = False

    def advance(self) -> Snapshot | None:
        """Its next snapshot, with the time it took added; None once it is over (a peer's failure in `note`)."""
        from engines.estimation.matrix_completion.baselines.cmfrec_peer import PeerFailed

        wall, cpu = time.perf_counter(), time.process_time()
        try:
            snapshot = next(self.snapshots, None)
        except PeerFailed as error:
            self.note, snapshot = str(error), None
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        again = self.plan.key == "cmfrec"  # each of its fits starts from scratch
        self.cpu_s, self.wall_s = (cpu, wall) if again else (self.cpu_s + cpu, self.wall_s + wall)
        if snapshot is None:
            self.over = True
        else:
            self.last = snapshot
        return snapshot

    def round(self, number: int) -> Iterator[Snapshot]:
        """Its snapshots of round `number` (0: the starts): one, or `STEPS_A_ROUND` of a first-order rival."""
        steps = STEPS_A_ROUND if self.plan.key in FIRST_ORDER and number > 0 else 1
        for _ in range(steps):
            snapshot = None if self.over else self.advance()
            if snapshot is not None:
                yield snapshot


def line_up(settings: Settings, rank: int, ridge: float) -> list[Plan]:
    """The contenders that the settings ask for, all with one rank and ridge."""
    plans = [Plan("robust", ROBUST, rank, ridge)]
    if settings.accelerate:
        plans.append(Plan("accelerated", ACCELERATED, rank, ridge))
    if settings.split:
        plans.append(Plan("split", SPLIT, rank, ridge))
    for key, name in NAMES.items():
        if key in settings.rivals:
            plans.append(Plan(key, name, 0 if key == "mean" else rank, ridge))
    return plans


def options_of(settings: Settings, plan: Plan) -> Options:
    """The method's options for an AM contender."""
    from engines.estimation.matrix_completion.method.alternating import Options

    options = Options(
        rank=plan.rank,
        solver=settings.solver,
        inner_steps=settings.inner_steps,
        inner_tol=settings.inner_tol,
        ridge=plan.ridge,
        accelerate=plan.key == "accelerated",
        sketch=settings.sketch,
        sketch_ratio=settings.sketch_ratio,
        start=settings.start,
        clip=settings.clip,
        power_steps=settings.power_steps,
    )
    if plan.key == "exact":
        return replace(options, solver="exact")
    if plan.key == "sketch":
        return replace(options, solver="sketch-per-row")
    return options


def racer(
    plan: Plan, obs: Observations, settings: Settings, seed: int, team: RowTeam, iterations: int, tol: float
) -> Racer:
    """Sets one contender up for `iterations` rounds; nothing is computed before its first `advance`."""
    if plan.key in FIRST_ORDER:
        iterations *= STEPS_A_ROUND
    make: dict[str, Callable[..., Iterator[Snapshot]]] = {
        "softimpute": _soft_impute,
        "lmafit": _shared_start,
        "scaled_gradient": _shared_start,
        "mean": _mean,
        "cmfrec": _cmfrec,
        "split": _split,
    }
    run = make.get(plan.key, _alternating)
    return Racer(plan, _until(run(plan, obs, settings, seed, team), iterations, tol))


def _until(snapshots: Iterator[Snapshot], iterations: int, tol: float) -> Iterator[Snapshot]:
    """Stops after `iterations`, at the tolerance, or where ten iterations gained less than 1 %."""
    best, since = np.inf, 0
    for snapshot in snapshots:
        yield snapshot
        best, since = (snapshot.residual, 0) if snapshot.residual < 0.99 * best else (best, since + 1)
        if snapshot.iteration >= iterations or snapshot.residual <= tol or since > 10:
            return


def _alternating(
    plan: Plan, obs: Observations, settings: Settings, seed: int, team: RowTeam
) -> Iterator[Snapshot]:
    from engines.estimation.matrix_completion.method.alternating import init, step

    options = options_of(settings, plan)
    state = init(obs, options, numpy_generator(seed, "start"), team)
    k, passes = plan.rank, float(2 + 2 * settings.power_steps) * (1.0 + 10.0 / plan.rank) / 2.0
    yield Snapshot(0, state.left[:, :k], state.right[:, :k], float("nan"), passes, None, state.singular)
    while True:
        state, info = step(state, obs, options, team)
        passes += info.passes
        yield Snapshot(
            state.iteration,
            state.left[:, :k],
            state.right[:, :k],
            info.residual,
            passes,
            info,
            state.singular,
        )


def split_iterations(obs: Observations, rank: int, iterations: int) -> int:
    """T for which each of the 2 T + 1 parts still has as many entries as unknowns; at least 2."""
    unknowns = rank * (sum(obs.shape) - rank)
    return int(np.clip((obs.count // unknowns - 1) // 2, 2, iterations))


def _split(plan: Plan, obs: Observations, settings: Settings, seed: int, team: RowTeam) -> Iterator[Snapshot]:
    """Step 1 of the paper: one part for the start and one for each half-step."""
    from engines.estimation.matrix_completion.method.alternating import init, step_on_parts

    options = options_of(settings, plan)
    last = split_iterations(obs, plan.rank, settings.iterations)
    part = numpy_generator(seed, "parts").integers(0, 2 * last + 1, obs.count)
    state = init(obs.subset(part == 0), options, numpy_generator(seed, "start"), team)
    k, passes = plan.rank, 0.0
    yield Snapshot(0, state.left[:, :k], state.right[:, :k], float("nan"), passes, None, state.singular)
    for t in range(last):
        both = obs.subset(part == 2 * t + 1), obs.subset(part == 2 * t + 2)
        state, info = step_on_parts(state, both, options, team)
        passes += info.passes / (2 * last + 1)
        yield Snapshot(
            state.iteration,
            state.left[:, :k],
            state.right[:, :k],
            info.residual,
            passes,
            info,
            state.singular,
        )


def _soft_impute(
    plan: Plan, obs: Observations, settings: Settings, seed: int, team: RowTeam
) -> Iterator[Snapshot]:
    from engines.estimation.matrix_completion.baselines import softimpute

    rng = numpy_generator(seed, "softimpute")
    top = softimpute.largest_singular_value(obs, rng, team)
    state = softimpute.init(obs, plan.rank, max(top / 2.0, plan.ridge), rng, team)
    k, t = plan.rank, 0
    while True:
        yield Snapshot(
            t,
            state.pair.left[:, :k],
            state.pair.right[:, :k],
            state.residual.relative,
            0.5 + t * softimpute.PASSES,
        )
        state = softimpute.step(state, obs, team, plan.ridge, SOFT_DECAY)
        t += 1


def _shared_start(
    plan: Plan, obs: Observations, settings: Settings, seed: int, team: RowTeam
) -> Iterator[Snapshot]:
    """LMaFit and scaled gradient, from the same start as alternating minimisation."""
    from engines.estimation.matrix_completion.baselines import lmafit, scaled_gradient
    from engines.estimation.matrix_completion.baselines.sparse_low_rank import Pair
    from engines.estimation.matrix_completion.method.alternating import init

    start = init(obs, options_of(settings, plan), numpy_generator(seed, "start"), team)
    method: Any = lmafit if plan.key == "lmafit" else scaled_gradient
    pair = Pair(start.left, start.right)
    if plan.key == "scaled_gradient":
        pair = Pair(*(_balanced(start.left, start.right, start.singular)))
    state = method.init(pair, obs, plan.rank, team)
    k, t = plan.rank, 0
    first = float(2 + 2 * settings.power_steps) * (1.0 + 10.0 / plan.rank) / 2.0
    while True:
        yield Snapshot(
            t,
            state.pair.left[:, :k],
            state.pair.right[:, :k],
            state.residual.relative,
            first + t * method.PASSES,
        )
        state = method.step(state, obs, team)
        t += 1


def _balanced(
    left: NDArray[Any], right: NDArray[Any], singular: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    root = np.ones(left.shape[1])
    if not float(singular[0]) > 0.0:
        return left, right
    root[: len(singular)] = np.sqrt(np.maximum(singular, 1e-12 * float(singular[0]) + 1e-300))
    return (left * root).astype(left.dtype), (right / root).astype(right.dtype)


def _mean(plan: Plan, obs: Observations, settings: Settings, seed: int, team: RowTeam) -> Iterator[Snapshot]:
    """Data is centred, so the mean is zero."""
    dtype = obs.by_row.values.dtype
    yield Snapshot(0, np.zeros((obs.shape[0], 1), dtype), np.zeros((obs.shape[1], 1), dtype), 1.0, 0.0)


def _cmfrec(
    plan: Plan, obs: Observations, settings: Settings, seed: int, team: RowTeam
) -> Iterator[Snapshot]:
    """cmfrec has no callback: three fits of growing length, each from scratch; its time is that of the last."""
    from engines.estimation.matrix_completion.baselines.cmfrec_peer import factors

    for sweeps in (5, 10, 20):
        left, right = factors(obs, plan.rank, plan.ridge, sweeps, team.threads, seed, use_cg=True)
        yield Snapshot(sweeps, left, right, float("nan"), float("nan"))
