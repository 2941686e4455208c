"""GAMP-RIE measured: one iteration against the obvious einsum, the flop rate reached, and d = 200 and 400 against theory.

    python benchmarks/gamp_rie.py            # all; a few minutes on two cores
    python benchmarks/gamp_rie.py --quick    # without d = 400

The obvious implementation forms Z as one n x d x d array and contracts it twice an iteration, as the official
notebook does; the same denoiser follows in both. Every time is the best of several, in this one process. Ends
with exit code 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import sys
import time
from collections.abc import Callable

import numpy as np
import scipy
from threadpoolctl import threadpool_limits

from engines.devices import cpu_count
from engines.estimation.gamp_rie.method import (
    Settings,
    bayes_error,
    error_table,
    init,
    iterate,
    rie,
    solve,
    step,
)
from engines.estimation.gamp_rie.problem import Problem, draw_problem

KAPPA = 0.5
REPOSITORY = {0.1: 0.7480, 0.2: 0.4028, 0.3: 0.1330}
"""GAMP-RIE of the official code at d = 200, kappa = 1/2, no noise: means of its stored arrays."""


def best_of(function: Callable[[], object], seconds: float = 1.5, least: int = 3) -> float:
    """Shortest time of a call, in seconds, over at least `least` calls and about `seconds`."""
    function()
    best, spent, count = float("inf"), 0.0, 0
    while count < least or spent < seconds:
        begin = time.perf_counter()
        function()
        used = time.perf_counter() - begin
        best, spent, count = min(best, used), spent + used, count + 1
    return best


def data(d: int, alpha: float, repetition: int = 0) -> Problem:
    """A noiseless data set."""
    return draw_problem(d, KAPPA, alpha, 0.0, seed=0, repetition=repetition)


def machine() -> None:
    """Prints where this runs."""
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown"
    print(f"{platform.platform()}, {_processor()}, {cpu_count()} cores, load {load}")
    print(f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}\n")


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def product_rate() -> float:
    """Rate of a large float32 product, in flop/s: what this machine can do on the threads that it is given."""
    size = 1024
    a = np.random.default_rng(0).standard_normal((size, size)).astype(np.float32)
    return 2.0 * size**3 / best_of(lambda: a @ a)


def against_einsum(d: int) -> None:
    """One iteration in both forms, from the same state."""
    problem, settings = data(d, 0.3), Settings(KAPPA)
    start = init(problem.sensing, settings)
    ours = best_of(lambda: step(start, problem.sensing, problem.targets, settings))
    x = problem.inputs.astype(np.float64)
    z = (np.einsum("ia,ib->iab", x, x) - np.eye(d)) / np.sqrt(d)
    flat = z.reshape(len(x), d * d)
    table = error_table(KAPPA)

    def obvious(use_blas: bool) -> np.ndarray:
        estimate, error = start.estimate, start.error
        forward = flat @ estimate.ravel() if use_blas else np.einsum("iab,ab->i", z, estimate)
        g = (problem.targets - forward + 2 * error * start.output) / (2 * error)
        a = 2 * problem.alpha * np.mean(g**2)
        backward = (g @ flat).reshape(d, d) if use_blas else np.einsum("i,iab->ab", g, z)
        matrix = rie(estimate + backward / (a * d), 0.5 / a, KAPPA).matrix
        table(0.5 / a)
        return matrix

    apart = np.max(
        np.abs(obvious(False) - step(start, problem.sensing, problem.targets, settings)[0].estimate)
    )
    einsum, blas = best_of(lambda: obvious(False)), best_of(lambda: obvious(True))
    print(
        f"d = {d:3d}: ours {ours * 1e3:7.2f} ms, einsum over n x d x d {einsum * 1e3:7.2f} ms ({einsum / ours:.1f}x), "
        f"the same through BLAS {blas * 1e3:7.2f} ms ({blas / ours:.1f}x); its array {z.nbytes / 2**20:.0f} MiB, "
        f"ours {problem.inputs.nbytes / 2**20:.1f} MiB; largest difference of Shat {apart:.1e}"
    )


def rates(d: int, alpha: float, peak: float) -> None:
    """Flop rate of the products and of the whole iteration, counting 4 n d^2 an iteration."""
    problem, settings = data(d, alpha), Settings(KAPPA)
    state = step(init(problem.sensing, settings), problem.sensing, problem.targets, settings)[0]
    work = 4.0 * problem.sensing.samples * d**2
    forward = best_of(lambda: problem.sensing.forward(state.estimate))
    backward = best_of(lambda: problem.sensing.backward(state.output))
    whole = best_of(lambda: step(state, problem.sensing, problem.targets, settings))
    spectral = best_of(lambda: rie(state.estimate, 0.1, KAPPA))
    print(
        f"d = {d:3d}, alpha = {alpha}: iteration {whole * 1e3:7.2f} ms = forward {forward * 1e3:.2f} + backward "
        f"{backward * 1e3:.2f} + denoiser {spectral * 1e3:.2f} + rest; {work / whole / 1e9:.0f} GFLOP/s "
        f"({work / whole / peak:.0%} of the machine's product), products alone "
        f"{work / (forward + backward) / 1e9:.0f} GFLOP/s ({work / (forward + backward) / peak:.0%})"
    )


def against_theory(d: int, alpha: float, repetitions: int) -> bool:
    """Mean error over data sets against the Bayes-optimal one."""
    errors, begin = [], time.perf_counter()
    for repetition in range(repetitions):
        problem = data(d, alpha, repetition)
        state, _ = solve(problem.sensing, problem.targets, Settings(KAPPA), problem.guard)
        errors.append(problem.mse(state.estimate))
    used = (time.perf_counter() - begin) / repetitions
    mean, theory = float(np.mean(errors)), bayes_error(alpha, KAPPA)
    holds = abs(mean / theory - 1.0) <= 0.1
    known = f", official code {REPOSITORY[alpha]:.4f}" if d == 200 and alpha in REPOSITORY else ""
    print(
        f"d = {d}, alpha = {alpha}: MSE {mean:.4f} +- {np.std(errors):.4f} over {repetitions}, theory {theory:.4f} "
        f"({mean / theory - 1:+.1%}){known}; {used:.1f} s a run; within 10 %: {'yes' if holds else 'NO'}"
    )
    return holds


def large(d: int, alpha: float) -> bool:
    """One run at a size that the n x d x d array forbids."""
    begin = time.perf_counter()
    problem = data(d, alpha)
    drawn = time.perf_counter() - begin
    count = 0
    estimate = np.eye(d)
    for state, _ in iterate(problem.sensing, problem.targets, Settings(KAPPA, tolerance=1e-6), problem.guard):
        count, estimate = count + 1, state.estimate
    used = time.perf_counter() - begin
    mse, theory = problem.mse(estimate), bayes_error(alpha, KAPPA)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    n = problem.sensing.samples
    print(
        f"d = {d}, alpha = {alpha}, n = {n}: MSE {mse:.4f}, theory {theory:.4f} ({mse / theory - 1:+.1%}); {count} iterations, "
        f"{used:.1f} s ({drawn:.1f} s to draw the data), {problem.inputs.nbytes / 2**20:.0f} MiB of inputs, peak of this "
        f"process {memory:.0f} MiB; the n x d x d array would take {8 * n * d**2 / 2**30:.0f} GiB"
    )
    return bool(np.isfinite(mse))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="leave out d = 400")
    quick = parser.parse_args().quick
    machine()
    for threads in sorted({1, cpu_count()}):
        with threadpool_limits(threads, user_api="blas"):
            peak = product_rate()
            print(f"{threads} BLAS thread(s): float32 product of 1024 x 1024 at {peak / 1e9:.0f} GFLOP/s")
            print("One iteration, alpha = 0.3, kappa = 1/2")
            for d in (60, 100):
                against_einsum(d)
            print("Flop rate, counting 4 n d^2 an iteration (symmetry saves a part of it)")
            for d in (60, 100, 200) if quick else (60, 100, 200, 400):
                rates(d, 0.3, peak)
            print()
    print("Against theory, kappa = 1/2, no noise (one BLAS thread)")
    with threadpool_limits(1, user_api="blas"):
        holds = [against_theory(200, alpha, 3) for alpha in REPOSITORY]
        if not quick:
            holds.append(large(400, 0.3))
    return 0 if all(holds) else 1


if __name__ == "__main__":
    sys.exit(main())
