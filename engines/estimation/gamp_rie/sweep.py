"""The sweep over the number of samples: first GAMP-RIE for every alpha, then gradient descent for every alpha."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from engines.contract import Context
from engines.devices import numpy_generator
from engines.estimation.gamp_rie import method
from engines.estimation.gamp_rie.baselines import (
    Descent,
    DescentSettings,
    average_error,
    descend,
    draw_students,
    linear_estimate,
)
from engines.estimation.gamp_rie.ledger import Ledger, Row, Small, mean, spread
from engines.estimation.gamp_rie.params import Settings
from engines.estimation.gamp_rie.problem import Problem, draw_problem
from engines.estimation.gamp_rie.watch import Watch, triptych
from engines.estimation.gamp_rie.work import Work, descent_flops
from engines.events import Alert, Array, Axis, Event, Scalar

GAMP = "GAMP-RIE"
LIMIT = "AGD, extrapolated"
ON_SMALL = "GAMP-RIE on GD's data"


def problem_of(
    settings: Settings, context: Context, d: int, alpha: float, repetition: int, delta: float
) -> Problem:
    """Data set `repetition` of this run at one alpha and noise."""
    return draw_problem(
        d,
        settings.kappa,
        alpha,
        delta,
        seed=context.seed,
        repetition=repetition,
        guarded=settings.guard,
        known_mean=settings.centring == "known",
        device=context.device if context.device.startswith("cuda") else "cpu",
    )


def method_settings(settings: Settings, problem: Problem) -> method.Settings:
    """The iteration's own settings for a data set."""
    return method.Settings(
        problem.kappa,
        problem.noise,
        settings.damping,
        settings.scale,
        settings.iterations,
        settings.tolerance,
    )


def gamp_sweep(settings: Settings, context: Context, ledger: Ledger, work: Work) -> Iterator[Event]:
    """GAMP-RIE and the linear estimator for each alpha and data set."""
    table = np.full((len(settings.alphas), settings.seeds), np.nan)
    axes = [Axis("alpha", settings.alphas), Axis("data set", np.arange(1, settings.seeds + 1))]
    share = {a: work.gamp(settings, settings.dimension, a) for a in settings.alphas}
    for index, alpha in enumerate(settings.alphas):
        row = _new_row(settings, alpha)
        ledger.rows[alpha] = row
        seconds: list[float] = []
        for repetition in range(settings.seeds):
            problem = problem_of(settings, context, settings.dimension, alpha, repetition, settings.delta)
            shown = alpha == settings.watched and repetition == 0
            watch = Watch(problem, method_settings(settings, problem)) if shown else None
            yield from _one_gamp(settings, context, problem, row, watch, seconds, repetition)
            table[index, repetition] = row.gamp[-1]
            yield Array("mse by data set", 0, table.copy(), axes, keep=False)
            if "linear" in settings.baselines:
                estimate = linear_estimate(problem.sensing, problem.targets, problem.kappa, problem.noise)
                row.linear.append(problem.mse(estimate))
            yield work.add(share[alpha], f"GAMP-RIE, alpha = {alpha:g}, data set {repetition + 1}")
        yield from _gamp_summary(ledger, row, seconds)


def descent_sweep(settings: Settings, context: Context, ledger: Ledger, work: Work) -> Iterator[Event]:
    """Gradient descent for each alpha and data set, with GAMP-RIE on the same data."""
    for alpha in settings.alphas:
        row = ledger.rows[alpha]
        seconds: list[float] = []
        for repetition in range(settings.baseline_seeds):
            shown = alpha == settings.watched and repetition == 0
            yield from one_descent(
                settings, context, alpha, settings.delta, repetition, row.small, work, shown, seconds
            )
        yield from _descent_summary(row, seconds)
        yield ledger.table()


def one_descent(
    settings: Settings,
    context: Context,
    alpha: float,
    delta: float,
    repetition: int,
    small: Small,
    work: Work,
    shown: bool,
    seconds: list[float],
) -> Iterator[Event]:
    """All students and GAMP-RIE on one data set; what they reach goes into `small`."""
    d = settings.small_dimension
    problem = problem_of(settings, context, d, alpha, repetition, delta)
    small.gamp.append(_quiet_gamp(settings, problem))
    yield work.add(work.gamp(settings, d, alpha), f"GAMP-RIE on GD's data, alpha = {alpha:g}")
    hidden = method.hidden_units(d, settings.student_kappa or settings.kappa)
    start = draw_students(
        settings.students, hidden, d, numpy_generator(context.seed, "students", d, hidden, repetition)
    )
    plan = DescentSettings(settings.optimiser, settings.rate, settings.steps, settings.weight_decay)
    total, done = work.descent(settings, d, alpha), 0
    clock = time.perf_counter()
    device = context.device if context.device.startswith("cuda") else "cpu"
    try:
        for point in descend(
            problem.inputs, problem.labels, start, plan, max(1, settings.steps // 30), device
        ):
            single, average, limit = average_error(point.matrices(), problem.teacher.matrix)
            if shown:
                yield from _descent_point(problem, point, single, average, limit, hidden)
            yield work.add(
                total * (point.step - done) / settings.steps,
                f"Gradient descent, alpha = {alpha:g}, step {point.step}",
            )
            done = point.step
    except FloatingPointError as error:
        yield Alert("divergence", alpha, f"{error} (alpha = {alpha:g}, data set {repetition + 1})")
        single, average, limit = np.full(settings.students, np.nan), float("nan"), float("nan")
        yield work.add(total * (settings.steps - done) / settings.steps, "Gradient descent diverged")
    seconds.append((time.perf_counter() - clock) / settings.steps)
    small.students.append([problem.kappa * float(error) for error in single])
    small.average.append(problem.kappa * average)
    small.limit.append(problem.kappa * limit)


def _one_gamp(
    settings: Settings,
    context: Context,
    problem: Problem,
    row: Row,
    watch: Watch | None,
    seconds: list[float],
    repetition: int,
) -> Iterator[Event]:
    """One run of GAMP-RIE into the ledger, watched or not."""
    own = method_settings(settings, problem)
    state, info, count, used = method.init(problem.sensing, own), None, 0, 0.0
    if watch:
        yield from watch.before()
    clock = time.perf_counter()
    try:
        for state, info in method.iterate(problem.sensing, problem.targets, own, problem.guard):
            used += time.perf_counter() - clock
            count += info.attempt < 2
            if watch and info.attempt < 2:
                yield from watch.iteration(state, info)
            clock = time.perf_counter()
    except FloatingPointError as error:
        yield Alert("divergence", row.alpha, f"{error} (alpha = {row.alpha:g}, data set {repetition + 1})")
        info = None
    row.iterations.append(count)
    seconds.append(used / max(count, 1))
    row.gamp.append(problem.mse(state.estimate) if info else float("nan"))
    row.own.append(problem.kappa * info.own_error if info else float("nan"))
    row.held_out.append(problem.kappa * info.held_out if info else float("nan"))
    if info and info.attempt:
        what = "began again with more damping"
        what += ", in vain: the estimate with the least held-out error counts" if info.attempt == 2 else ""
        yield Alert("guard", row.alpha, f"alpha = {row.alpha:g}, data set {repetition + 1}: GAMP-RIE {what}.")
    if watch:
        yield from watch.after(state, numpy_generator(context.seed, "fresh inputs"))
    if repetition == 0:
        yield triptych(problem, state.estimate)


def _quiet_gamp(settings: Settings, problem: Problem) -> float:
    """Error of GAMP-RIE on a data set; NaN where it diverges."""
    own = method_settings(settings, problem)
    try:
        state, _ = method.solve(problem.sensing, problem.targets, own, problem.guard)
    except FloatingPointError:
        return float("nan")
    return problem.mse(state.estimate)


def _new_row(settings: Settings, alpha: float) -> Row:
    """Theory at the kappa and alpha that the rounded m and n have."""
    d = settings.dimension
    kappa, actual = method.hidden_units(d, settings.kappa) / d, max(2, round(alpha * d * d)) / d**2
    noise = method.effective_noise(settings.delta, kappa)
    linear = float(method.linear_error(actual, kappa, noise))
    small = small_theory(settings, alpha, settings.delta)
    return Row(alpha, method.bayes_error(actual, kappa, noise), linear, small)


def small_theory(settings: Settings, alpha: float, delta: float) -> float:
    """Bayes-optimal error for gradient descent's data."""
    d = settings.small_dimension
    kappa = method.hidden_units(d, settings.kappa) / d
    return method.bayes_error(
        max(2, round(alpha * d * d)) / d**2, kappa, method.effective_noise(delta, kappa)
    )


def _gamp_summary(ledger: Ledger, row: Row, seconds: list[float]) -> Iterator[Event]:
    a = row.alpha
    yield Scalar(GAMP, "mse", a, mean(row.gamp))
    yield Scalar(f"{GAMP}, own estimate", "mse", a, mean(row.own))
    if np.isfinite(row.held_out).any():
        yield Scalar(f"{GAMP}, held-out", "mse", a, mean(row.held_out))
    if len(row.gamp) > 1:
        yield Scalar(GAMP, "mse sd", a, spread(row.gamp))
    yield Scalar(GAMP, "iterations", a, mean(row.iterations))
    yield Scalar(GAMP, "time/seconds per iteration", a, mean(seconds))
    used = [count * each for count, each in zip(row.iterations, seconds, strict=True)]
    yield Scalar(GAMP, "time/seconds per run", a, mean(used))
    if row.linear:
        yield Scalar("Linear estimator", "mse", a, mean(row.linear))
        if len(row.linear) > 1:
            yield Scalar("Linear estimator", "mse sd", a, spread(row.linear))
        yield Scalar("Linear estimator", "distance from theory", len(ledger.rows), ledger.distance("linear"))
    yield Scalar(GAMP, "distance from theory", len(ledger.rows), ledger.distance())
    yield ledger.table()


def _descent_point(
    problem: Problem, point: Descent, single: np.ndarray, average: float, limit: float, hidden: int
) -> Iterator[Event]:
    kappa, d = problem.kappa, problem.sensing.dimension
    values = {"GD": kappa * float(np.mean(single)), "AGD": kappa * average}
    if len(single) > 1:
        values[LIMIT] = kappa * limit
    yield Scalar("GD", "loss by step", point.step, float(np.mean(point.loss)))
    work = point.step * descent_flops(d, hidden / d, problem.alpha) / 1e9
    for series, value in values.items():
        yield Scalar(series, "mse by step", point.step, value)
        if series != LIMIT:
            yield Scalar(series, "mse by GFLOP", work * (1 if series == "GD" else len(single)), value)


def _descent_summary(row: Row, seconds: list[float]) -> Iterator[Event]:
    a, small = row.alpha, row.small
    students = [error for errors in small.students for error in errors]
    results = {
        "GD": (small.gd, students),
        "AGD": (mean(small.average), small.average),
        LIMIT: (mean(small.limit), small.limit),
        ON_SMALL: (mean(small.gamp), small.gamp),
    }
    several = bool(small.students) and len(small.students[0]) > 1
    for series, (value, values) in results.items():
        if series == LIMIT and not several:
            continue
        yield Scalar(series, "mse", a, value)
        if len(values) > 1:
            yield Scalar(series, "mse sd", a, spread(values))
        if series != ON_SMALL:
            yield Scalar(series, "GD over GAMP-RIE", a, value / mean(small.gamp))
    if several:
        yield Scalar("GD", "spread of students", a, small.spread)
    yield Scalar("GD", "time/seconds per step", a, mean(seconds))
