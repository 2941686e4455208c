"""Matrix completion against cmfrec, its exponents, and one large problem. Prints what it measures.

    python benchmarks/matrix_completion.py [--part race|slopes|large] [--ranks K ...] [--threads N] [--quick]

cmfrec (PyPI) is optional and is installed only for this. All contenders run in this process with the same
threads, from the same entries; our time counts from the arrays of entries on (sorting them included), cmfrec's
from its `fit`. cmfrec has no callback, so the smallest number of its sweeps that reaches the target is searched
for and that fit is timed. CPU seconds are of the whole process: on a busy machine compare those.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from engines.devices import cpu_count, numpy_generator
from engines.estimation.matrix_completion.method.alternating import Options, init, step
from engines.estimation.matrix_completion.method.compiled import RowTeam, single_threaded_blas
from engines.estimation.matrix_completion.method.factors import relative_error
from engines.estimation.matrix_completion.method.observations import Observations
from engines.estimation.matrix_completion.problems.race import distinct_entries
from engines.estimation.matrix_completion.problems.scaling import iteration_seconds, slope

TARGET = 1e-6


def low_rank(n: int, k: int, count: int, seed: int) -> tuple[np.ndarray, ...]:
    """(A, B, rows, cols, values): M = A B^T / sqrt(k), A and B (n x k) standard normal, `count` distinct entries."""
    rng = numpy_generator(seed, "benchmark", n, k, count)
    A, B = rng.standard_normal((n, k)), rng.standard_normal((n, k)) / np.sqrt(k)
    rows, cols = distinct_entries(n, n, count, rng)
    values = np.empty(count)
    for part in np.array_split(np.arange(count), max(1, count // 200_000)):
        values[part] = np.einsum("ij,ij->i", A[rows[part]], B[cols[part]])
    return A, B, rows, cols, values


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """(result, wall seconds, CPU seconds of the process)."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def ours(
    problem: tuple[np.ndarray, ...], options: Options, threads: int, target: float, most: int = 300
) -> dict[str, Any]:
    """Our solver to the target; evaluating the error is outside the clock."""
    A, B, rows, cols, values = problem
    n, k = A.shape
    with single_threaded_blas(), RowTeam(threads) as team:
        obs, wall, cpu = timed(lambda: Observations.from_entries(rows, cols, values, (n, n)))
        state, w, c = timed(lambda: init(obs, options, np.random.default_rng(0), team))
        start_wall = wall + w
        wall, cpu = wall + w, cpu + c
        error, iterations = float("inf"), 0
        while error > target and iterations < most:
            (state, _), w, c = timed(lambda state=state: step(state, obs, options, team))
            wall, cpu, iterations = wall + w, cpu + c, iterations + 1
            error = relative_error(state.left[:, :k], state.right[:, :k], A, B)
    return {"iterations": iterations, "wall": wall, "cpu": cpu, "error": error, "start": start_wall}


def best_of(count: int, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The run with the least wall time."""
    return min((run() for _ in range(count)), key=lambda found: found["wall"])


def cmfrec_fit(problem: tuple[np.ndarray, ...], use_cg: bool, sweeps: int, threads: int) -> dict[str, Any]:
    """One fit of cmfrec with `sweeps` sweeps."""
    from cmfrec import CMF
    from scipy.sparse import coo_matrix

    A, B, rows, cols, values = problem
    n, k = A.shape
    entries = coo_matrix((values, (rows, cols)), shape=(n, n))
    model = CMF(
        k=k, method="als", use_cg=use_cg, lambda_=1e-8, user_bias=False, item_bias=False, center=False,
        niter=sweeps, nthreads=threads, use_float=False, precompute_for_predictions=False, verbose=False,
        finalize_chol=False,
    )  # fmt: skip
    _, wall, cpu = timed(lambda: model.fit(entries))
    error = relative_error(np.asarray(model.A_), np.asarray(model.B_), A, B)
    return {"iterations": sweeps, "wall": wall, "cpu": cpu, "error": error}


def cmfrec_to_target(
    problem: tuple[np.ndarray, ...], use_cg: bool, threads: int, repeats: int
) -> dict[str, Any]:
    """cmfrec with the fewest sweeps (a multiple of the search's grain) that reach the target."""
    low, high = 0, 8
    found = cmfrec_fit(problem, use_cg, high, threads)
    while found["error"] > TARGET and high < 200:
        low, high = high, high * 2
        found = cmfrec_fit(problem, use_cg, high, threads)
    while high - low > max(1, high // 16):
        middle = (low + high) // 2
        tried = cmfrec_fit(problem, use_cg, middle, threads)
        if tried["error"] <= TARGET:
            high, found = middle, tried
        else:
            low = middle
    return min(
        [found, *(cmfrec_fit(problem, use_cg, high, threads) for _ in range(repeats))],
        key=lambda f: f["wall"],
    )


def shown(name: str, found: dict[str, Any]) -> None:
    print(f"  {name:34s} {found['iterations']:4d} iterations  wall {found['wall']:7.2f} s  CPU {found['cpu']:7.2f} s  "
          f"error {found['error']:.1e}", flush=True)  # fmt: skip


def race(threads: int, ranks: list[int], quick: bool) -> None:
    """Time to a relative error of 1e-6 at n = 5,000 and 1 M entries."""
    n, count = (1000, 100_000) if quick else (5000, 1_000_000)
    print(f"\nRace to {TARGET:g}: {n} x {n}, {count:,} entries, {threads} threads")
    for k in ranks:
        problem = low_rank(n, k, count, 0)
        print(f" rank {k}: {count / (k * (2 * n - k)):.1f} times as many entries as unknowns")
        names = {
            "robust AM, accelerated (default)": Options(k),
            "robust AM, plain": Options(k, accelerate=False),
            "exact AM, plain": Options(k, accelerate=False, solver="exact"),
        }
        results = {
            name: best_of(3, lambda o=o, p=problem: ours(p, o, threads, TARGET)) for name, o in names.items()
        }
        for name, found in results.items():
            shown(name, found)
        if not have_cmfrec():
            print("  cmfrec is not installed: no peer")
            continue
        peers = {"cmfrec, Cholesky": False, "cmfrec, CG": True}
        fits = {name: cmfrec_to_target(problem, cg, threads, 2) for name, cg in peers.items()}
        for name, found in fits.items():
            shown(name, found)
        reached = [found for found in fits.values() if found["error"] <= TARGET]
        if reached:
            mine = results["robust AM, accelerated (default)"]
            ratios = (min(f[kind] for f in reached) / mine[kind] for kind in ("wall", "cpu"))
            print("  cmfrec's best mode over ours: wall {:.1f}x, CPU {:.1f}x".format(*ratios), flush=True)


def slopes(quick: bool) -> None:
    """Exponents of an iteration's CPU time (one thread) in the rank and in the entries."""
    n = 400 if quick else 2000
    per_row = 200 if quick else 800
    print(f"\nExponents of an outer iteration, {n} rows, one thread, CPU seconds, best of 5")
    solvers = {"robust AM (3 CG steps)": "cg-shared", "exact AM": "exact"}
    with single_threaded_blas(), RowTeam(1) as team:
        for title, cases in (
            (f"rank, {per_row} entries a row", [(k, per_row) for k in (20, 40, 80)]),
            ("entries, rank 20", [(20, per_row // d) for d in (8, 4, 2, 1)]),
        ):
            for name, solver in solvers.items():
                points = []
                for k, row in cases:
                    _, _, rows, cols, values = low_rank(n, k, n * row, 1)
                    obs = Observations.from_entries(rows, cols, values, (n, n))
                    options = Options(k, solver=solver, inner_tol=0.0, accelerate=False, start="random")
                    at = k if title.startswith("rank") else obs.count
                    points.append((at, iteration_seconds(obs, options, 5, 0, team)))
                times = "  ".join(f"{at}: {seconds:.4f}" for at, seconds in points)
                print(f"  over {title:28s} {name:24s} slope {slope(points):5.2f}   {times}", flush=True)


def large(threads: int, quick: bool) -> None:
    """20,000 x 20,000, 4 M entries, rank 50, to 1e-5."""
    n, count, k = (2000, 400_000, 20) if quick else (20_000, 4_000_000, 50)
    print(f"\nLarge: {n} x {n}, {count:,} entries, rank {k}, to 1e-5, {threads} threads")
    problem = low_rank(n, k, count, 2)
    for name, options in (("accelerated", Options(k)), ("plain", Options(k, accelerate=False))):
        shown(f"robust AM, {name}", ours(problem, options, threads, 1e-5))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
            1 if platform.system() == "Darwin" else 1024
        )
        print(f"  peak memory of the process so far {peak / 2**20:.0f} MiB", flush=True)


def have_cmfrec() -> bool:
    try:
        version("cmfrec")
    except PackageNotFoundError:
        return False
    return True


def machine(threads: int) -> None:
    """What this ran on."""
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        model = next(
            (line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line),
            model,
        )
    packages = ["numpy", "numba", "scipy"] + (["cmfrec"] if have_cmfrec() else [])
    print(f"{platform.system()} {platform.machine()}, {model}, {cpu_count()} cores, {threads} threads, "
          f"Python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in packages))  # fmt: skip
    print("load average", " ".join(f"{load:.1f}" for load in os.getloadavg()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=("race", "slopes", "large"), help="only this part")
    parser.add_argument("--threads", type=int, default=cpu_count())
    parser.add_argument("--ranks", type=int, nargs="+", default=[10, 20, 30], help="ranks of the race")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    given = parser.parse_args()
    machine(given.threads)
    ours(low_rank(60, 2, 1500, 0), Options(2), 1, 1e-3)  # compiles outside the clock
    ours(low_rank(60, 2, 1500, 0), Options(2, solver="exact"), 1, 1e-3)
    if given.part in (None, "race"):
        race(given.threads, [10] if given.quick else given.ranks, given.quick)
    if given.part in (None, "slopes"):
        slopes(given.quick)
    if given.part in (None, "large"):
        large(given.threads, given.quick)
    print("load average", " ".join(f"{load:.1f}" for load in os.getloadavg()))


if __name__ == "__main__":
    main()
