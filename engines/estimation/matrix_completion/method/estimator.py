"""`MatrixCompletion`: the method as an estimator in the manner of scikit-learn."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engines.contract import Refusal
from engines.estimation.matrix_completion.method.alternating import (
    Info,
    Options,
    State,
    init,
    started,
    step_on_parts,
)
from engines.estimation.matrix_completion.method.compiled import RowTeam, single_threaded_blas
from engines.estimation.matrix_completion.method.factors import padded
from engines.estimation.matrix_completion.method.observations import Duplicates, Observations, check_rank
from engines.estimation.matrix_completion.method.sketch import KINDS
from engines.estimation.matrix_completion.method.sparse import pair_products

Array = NDArray[Any]


@dataclass(frozen=True)
class Iterate:
    """Where `MatrixCompletion.iterate` stands after an outer iteration."""

    iteration: int
    state: State
    info: Info
    held_out: float
    """Relative RMSE on the held-out entries; NaN without any."""


class MatrixCompletion:
    """Completes a low-rank matrix from some of its entries by robust alternating minimisation.

    Minimises sum over observed (i, j) of ((U V^T)_ij - M_ij)^2 + ridge (||U||_F^2 + ||V||_F^2) over U (m x rank)
    and V (n x rank). One iteration costs O(|Omega| rank inner_steps).

    Parameters
    ----------
    rank : int, 1 to min(m, n)
    tol : float > 0, stop once the relative residual on the observed entries is at most this
    max_iter : int >= 1, most outer iterations
    solver : "cg-shared" (one rotation preconditions all rows, then conjugate gradients), "sketch-per-row" (the
        paper's form: a random sketch preconditions each row) or "exact" (normal equations, O(|Omega| rank^2))
    inner_steps, inner_tol : most inner steps of each row, and the fall of its gradient at which it stops early
    ridge : float >= 0, in the units of the objective above; 0 for exact data. Half the penalty of the nuclear
        norm: the minimum over all factors equals that with 2 ridge ||U V^T||_*
    accelerate : over-relax the half-steps by an estimated factor; the objective stays non-increasing
    sketch, sketch_ratio : "countsketch", "srht", "gaussian" or "row-sampling", with sketch_ratio * rank rows
    start : "spectral" (clipped if `clip`, by `power_steps` rounds of a randomised SVD) or "random"
    split : a fresh part of the entries for each half-step, as in the paper's proof; needs far more entries
    center : subtract the observed mean first
    hold_out : share of the entries kept aside (0 to 0.5); then the fit also stops where their error does
    duplicates : "refuse", or "mean" to average entries that are given several times
    warm_start : go on from the factors of the last fit (same shape and rank)
    dtype : "float64", or "float32" for relative errors down to about 1e-5
    threads : threads that share the rows; 0 takes all cores. The result does not depend on it
    random_state : int seed of all random choices: equal seeds give equal bits on one machine

    Attributes (after `fit`)
    ------------------------
    left_ (m x rank, orthonormal columns), right_ (n x rank), singular_values_ (rank), offset_ (float, subtracted
    mean), n_iter_, converged_, residual_ (relative, on the entries used), held_out_error_, residuals_ (one for
    each iteration), observations_.

    Source: Gu, Song, Yin, Zhang, arXiv 2302.11068, Algorithm 1; departures in about.md.
    """

    def __init__(
        self,
        rank: int = 10,
        *,
        tol: float = 1e-6,
        max_iter: int = 100,
        solver: Literal["cg-shared", "sketch-per-row", "exact"] = "cg-shared",
        inner_steps: int = 3,
        inner_tol: float = 0.1,
        ridge: float = 0.0,
        accelerate: bool = True,
        sketch: Literal["countsketch", "srht", "gaussian", "row-sampling"] = "countsketch",
        sketch_ratio: int = 4,
        start: Literal["spectral", "random"] = "spectral",
        clip: bool = True,
        power_steps: int = 2,
        split: bool = False,
        center: bool = False,
        hold_out: float = 0.0,
        duplicates: Duplicates = "refuse",
        warm_start: bool = False,
        dtype: Literal["float64", "float32"] = "float64",
        threads: int = 0,
        random_state: int = 0,
    ) -> None:
        self.rank = rank
        self.tol = tol
        self.max_iter = max_iter
        self.solver = solver
        self.inner_steps = inner_steps
        self.inner_tol = inner_tol
        self.ridge = ridge
        self.accelerate = accelerate
        self.sketch = sketch
        self.sketch_ratio = sketch_ratio
        self.start = start
        self.clip = clip
        self.power_steps = power_steps
        self.split = split
        self.center = center
        self.hold_out = hold_out
        self.duplicates = duplicates
        self.warm_start = warm_start
        self.dtype = dtype
        self.threads = threads
        self.random_state = random_state

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's parameters by name."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params: Any) -> MatrixCompletion:
        """Changes parameters by name; raises `Refusal` for an unknown one."""
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                raise Refusal(
                    name, f"{name} is not a parameter of MatrixCompletion. Known: {', '.join(known)}."
                )
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = {name: p.default for name, p in inspect.signature(type(self)).parameters.items()}
        changed = [
            f"{name}={value!r}" for name, value in self.get_params().items() if value != defaults[name]
        ]
        return f"MatrixCompletion({', '.join(changed)})"

    def fit(
        self,
        rows: Any,
        cols: ArrayLike | None = None,
        values: ArrayLike | None = None,
        *,
        shape: tuple[int, int] | None = None,
        callback: Callable[[Iterate], bool | None] | None = None,
    ) -> MatrixCompletion:
        """Learns the factors.

        `rows`, `cols`, `values`: the observed entries, three arrays of one length in any order (indices whole
        numbers from 0, values finite); or `rows` alone: a scipy sparse matrix whose stored entries are the
        observed ones, or `Observations`. `shape` (m, n) defaults to the largest indices. `callback` sees every
        iteration and ends the fit by returning True.

        Raises `Refusal` (a ValueError) for parameters out of range, and where the entries cannot be completed:
        none at all, not finite, given twice, fewer than the unknowns, a rank above min(m, n)."""
        for at in self.iterate(self._observations(rows, cols, values, shape)):
            if callback is not None and callback(at):
                break
        return self

    def _observations(self, rows: Any, cols: Any, values: Any, shape: tuple[int, int] | None) -> Observations:
        if isinstance(rows, Observations):
            return rows
        if cols is None and values is None and hasattr(rows, "tocoo"):
            return Observations.from_sparse(rows, dtype=np.dtype(self.dtype))
        if cols is None or values is None:
            raise Refusal("rows", "fit takes rows, cols and values, or one scipy sparse matrix.")
        return Observations.from_entries(
            rows, cols, values, shape, dtype=np.dtype(self.dtype), duplicates=self.duplicates
        )

    def iterate(self, observations: Observations) -> Iterator[Iterate]:
        """The fit as a generator: yields after each outer iteration, with the attributes up to date."""
        self._check(observations)
        rng = np.random.default_rng(self.random_state)
        seen, aside = self._held_out(observations, rng)
        self.offset_ = float(np.mean(seen.by_row.values, dtype=np.float64)) if self.center else 0.0
        if self.center:
            seen = seen.with_values(seen.by_row.values - seen.by_row.values.dtype.type(self.offset_))
        self.observations_ = observations
        self.residuals_: list[float] = []
        self.converged_ = False
        best, since = np.inf, 0
        with ExitStack() as stack:
            stack.enter_context(single_threaded_blas())
            team = stack.enter_context(RowTeam(self.threads))
            parts = self._parts(seen, rng)
            state = self._start(parts[0], rng, team)
            for iteration in range(self.max_iter):
                both = parts[(2 * iteration + 1) % len(parts)], parts[(2 * iteration + 2) % len(parts)]
                state, info = step_on_parts(state, both, self._options(), team)
                self._learned(state, info)
                self.held_out_error_ = self._error_on(aside)
                # stop at the tolerance, or where five iterations gained less than 1 % together
                watched = self.held_out_error_ if aside.count else info.residual
                best, since = (watched, 0) if watched < 0.99 * best else (min(best, watched), since + 1)
                self.converged_ = info.residual <= self.tol or since >= 5
                yield Iterate(iteration + 1, state, info, self.held_out_error_)
                if self.converged_:
                    break

    def _options(self) -> Options:
        return Options(
            rank=self.rank,
            solver=self.solver,
            inner_steps=self.inner_steps,
            inner_tol=self.inner_tol,
            ridge=self.ridge,
            accelerate=self.accelerate and not self.split,
            sketch=self.sketch,
            sketch_ratio=self.sketch_ratio,
            start=self.start,
            clip=self.clip,
            power_steps=self.power_steps,
        )

    def _start(self, obs: Observations, rng: np.random.Generator, team: RowTeam) -> State:
        if not (self.warm_start and hasattr(self, "left_")):
            return init(obs, self._options(), rng, team)
        shape = (len(self.left_), len(self.right_))
        if shape != obs.shape or self.left_.shape[1] != self.rank:
            raise Refusal("warm_start", f"warm_start needs the shape and rank of the last fit, {shape} and "
                          f"{self.left_.shape[1]}; got {obs.shape} and {self.rank}. Pass warm_start=False.")  # fmt: skip
        return started(padded(self.left_), padded(self.right_), self.rank, int(rng.integers(2**62)))

    def _held_out(self, obs: Observations, rng: np.random.Generator) -> tuple[Observations, Any]:
        if self.hold_out <= 0.0:
            return obs, _Aside(*(np.empty(0, np.int64),) * 2, np.empty(0))
        aside = rng.random(obs.count) < self.hold_out
        if aside.all():
            raise Refusal("hold_out", f"hold_out={self.hold_out} leaves no entry to learn from. Lower it.")
        side = obs.by_row
        kept = _Aside(obs.rows[aside], side.indices[aside].astype(np.int64), side.values[aside])
        return obs.subset(~aside), kept

    def _parts(self, obs: Observations, rng: np.random.Generator) -> list[Observations]:
        """All entries for every step, or 1 + 2 max_iter disjoint parts (step 1 of the paper)."""
        if not self.split:
            return [obs]
        part = rng.integers(0, 2 * self.max_iter + 1, obs.count)
        return [obs.subset(part == t) for t in range(2 * self.max_iter + 1)]

    def _learned(self, state: State, info: Info) -> None:
        self.left_, self.right_ = state.left[:, : self.rank], state.right[:, : self.rank]
        self.singular_values_ = state.singular
        self.n_iter_ = state.iteration
        self.residual_ = info.residual
        self.residuals_.append(info.residual)

    def _error_on(self, aside: _Aside) -> float:
        if not aside.count:
            return float("nan")
        rest = self.predict(aside.rows, aside.cols) - aside.values
        return float(np.linalg.norm(rest) / max(np.linalg.norm(aside.values - self.offset_), 1e-300))

    def predict(self, rows: ArrayLike, cols: ArrayLike) -> Array:
        """Entries (rows[e], cols[e]) of the completed matrix; raises `Refusal` where an index is out of range."""
        self._check_fitted()
        i, j = np.asarray(rows, np.int64).ravel(), np.asarray(cols, np.int64).ravel()
        if len(i) != len(j):
            raise Refusal("cols", f"rows and cols must have one length; got {len(i)} and {len(j)}.")
        for name, index, limit in (("rows", i, len(self.left_)), ("cols", j, len(self.right_))):
            if index.size and (index.min() < 0 or index.max() >= limit):
                raise Refusal(
                    name, f"{name} must be between 0 and {limit - 1}; got {index.min()} to {index.max()}."
                )
        left, right = padded(self.left_), padded(self.right_)
        out = np.empty(len(i), left.dtype)
        pair_products(0, len(i), i, j, left.reshape(-1), right.reshape(-1), left.shape[1], out)
        return out + out.dtype.type(self.offset_)

    def complete(self) -> Array:
        """The completed matrix (m x n, dense): mind its size."""
        self._check_fitted()
        return self.left_ @ self.right_.T + self.left_.dtype.type(self.offset_)

    def _check_fitted(self) -> None:
        if not hasattr(self, "left_"):
            raise Refusal("fit", "this MatrixCompletion is not fitted yet: call fit first.")

    def _check(self, obs: Observations) -> None:
        rules = (
            (
                "rank",
                isinstance(self.rank, (int, np.integer)) and self.rank >= 1,
                "a whole number of at least 1",
            ),
            ("tol", self.tol > 0.0, "above 0"),
            ("max_iter", self.max_iter >= 1, "at least 1"),
            (
                "solver",
                self.solver in ("cg-shared", "sketch-per-row", "exact"),
                "cg-shared, sketch-per-row or exact",
            ),
            ("inner_steps", self.inner_steps >= 1, "at least 1"),
            ("inner_tol", 0.0 <= self.inner_tol <= 1.0, "between 0 and 1"),
            ("ridge", 0.0 <= self.ridge < np.inf, "at least 0 and finite"),
            ("sketch", self.sketch in KINDS, f"one of {', '.join(KINDS)}"),
            ("sketch_ratio", self.sketch_ratio >= 1, "at least 1"),
            ("start", self.start in ("spectral", "random"), "spectral or random"),
            ("hold_out", 0.0 <= self.hold_out <= 0.5, "between 0 and 0.5"),
            ("dtype", self.dtype in ("float64", "float32"), "float64 or float32"),
            ("threads", self.threads >= 0, "at least 0"),
        )
        for name, holds, rule in rules:
            if not holds:
                raise Refusal(name, f"{name} must be {rule}; got {getattr(self, name)!r}.")
        check_rank(obs.shape, self.rank, obs.count, regularised=self.ridge > 0.0)


@dataclass(frozen=True)
class _Aside:
    """Entries kept out of the fit."""

    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    values: Array

    @property
    def count(self) -> int:
        return len(self.values)
