"""What a run has measured so far: the tables, the distances and the claim checks are read off it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from engines.events import Cell, Table


@dataclass
class Small:
    """Contenders on gradient descent's data at one alpha and one noise; a number for each data set.

    A data set in which a contender diverged counts as NaN for it."""

    gamp: list[float] = field(default_factory=list)
    students: list[list[float]] = field(default_factory=list)
    """Error of each student, by data set."""
    average: list[float] = field(default_factory=list)
    limit: list[float] = field(default_factory=list)

    @property
    def gd(self) -> float:
        """Mean error of one student."""
        return mean([float(np.mean(errors)) for errors in self.students])

    @property
    def spread(self) -> float:
        """Standard deviation over initialisations, relative to their mean error, mean over data sets."""
        shares = [float(np.std(errors) / np.mean(errors)) for errors in self.students if len(errors) > 1]
        return mean(shares)


@dataclass
class Row:
    """One alpha."""

    alpha: float
    theory: float
    linear_theory: float
    small_theory: float = float("nan")
    """Bayes-optimal error at the rounded kappa and alpha of gradient descent's data."""
    gamp: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    held_out: list[float] = field(default_factory=list)
    iterations: list[int] = field(default_factory=list)
    linear: list[float] = field(default_factory=list)
    small: Small = field(default_factory=Small)


@dataclass
class Ledger:
    """All rows, in the order of alpha, and the contrast run."""

    rows: dict[float, Row] = field(default_factory=dict)
    contrast: dict[float, Small] = field(default_factory=dict)
    """By Delta: 0 and the contrast's."""
    contrast_theory: dict[float, float] = field(default_factory=dict)

    def distance(self, contender: str = "gamp") -> float:
        """Mean |mse - theory| over the alphas done; NaN where nothing is."""
        return mean([abs(mean(getattr(row, contender)) - row.theory) for row in self.rows.values()])

    def table(self) -> Table:
        """The "results" table."""
        columns = (
            "alpha", "theory", "GAMP-RIE", "sd", "own estimate", "iterations",
            "linear", "GD", "AGD", "AGD, extrapolated", "GAMP-RIE on GD's data",
        )  # fmt: skip
        return Table("results", columns, [_cells(row) for row in self.rows.values()])


def mean(values: list[float] | list[int]) -> float:
    """Mean of what is finite; NaN of nothing."""
    finite = [float(value) for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


def spread(values: list[float]) -> float:
    """Standard deviation of what is finite (n - 1 below the line); NaN of fewer than two."""
    finite = [value for value in values if np.isfinite(value)]
    return float(np.std(finite, ddof=1)) if len(finite) > 1 else float("nan")


def _cells(row: Row) -> list[Cell]:
    small = row.small
    numbers = (
        row.theory, mean(row.gamp), spread(row.gamp), mean(row.own), mean(row.iterations), mean(row.linear),
        small.gd, mean(small.average), mean(small.limit), mean(small.gamp),
    )  # fmt: skip
    return [row.alpha, *(None if np.isnan(number) else float(number) for number in numbers)]
