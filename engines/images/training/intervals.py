"""95 % intervals for the figures of a card: shares, means over tasks, and whatever is computed from a set of pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.devices import numpy_generator
from engines.images.reno.judging import wilson

Z = 1.96
DRAWS = 1000
Interval = list[float]


def of_share(hits: NDArray[Any]) -> Interval:
    """Wilson's interval of the share of hits (bool [N])."""
    return rounded(wilson(float(hits.sum()), len(hits)))


def over_tasks(values: NDArray[Any], tasks: NDArray[Any]) -> tuple[float, Interval]:
    """Mean over tasks of the means inside each ([N] values, [N] tasks), and its interval: the tasks are fixed, so only the
    spread inside them counts."""
    groups = [values[tasks == task].astype(np.float64) for task in dict.fromkeys(tasks.tolist())]
    mean = float(np.mean([group.mean() for group in groups]))
    error = float(np.sqrt(sum(group.var(ddof=1) / len(group) for group in groups)) / len(groups))
    return round(mean, 3), rounded((mean - Z * error, mean + Z * error))


def of_statistic(statistic: Callable[[NDArray[np.int64]], float], number: int, seed: int) -> Interval:
    """Percentiles of `statistic(rows)` over samples of `number` rows, drawn with repeats."""
    rng = numpy_generator(seed, "bootstrap")
    found = [statistic(rng.integers(0, number, number)) for _ in range(DRAWS)]
    return rounded(np.percentile(found, (2.5, 97.5)))


def rounded(ends: Any) -> Interval:
    """Both ends to three places."""
    return [round(float(end), 3) for end in ends]
