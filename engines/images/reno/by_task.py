"""What a list of prompts comes to, task by task: shares of right pictures, or mean rewards, with their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from engines.events import Array, Axis, Event, Table
from engines.images.reno.finals import Final
from engines.images.reno.judging import wilson


def by_task(found: Mapping[str, Final], tasks: Sequence[str], prompts: Sequence[int]) -> Iterator[Event]:
    """Contenders x tasks over all pictures, of which each has its task and the number of its prompt. With the exact
    checker: shares of right pictures with Wilson's 95 % intervals. Without: mean rewards with their standard errors
    over prompts (several pictures of one prompt are no independent draws)."""
    members = {task: np.array([t == task for t in tasks]) for task in dict.fromkeys(tasks)}
    members["all"] = np.ones(len(tasks), dtype=bool)
    names, number = list(found), np.array(prompts)
    has_checker = all(final.judged.strict is not None for final in found.values())
    middle, low, high = (np.full((len(names), len(members)), np.nan) for _ in range(3))
    for a, final in enumerate(found.values()):
        for b, mask in enumerate(members.values()):
            if has_checker:
                assert final.judged.strict is not None
                right = final.judged.strict[mask]
                middle[a, b] = right.mean()
                low[a, b], high[a, b] = wilson(float(right.sum()), len(right))
            else:
                middle[a, b], error = _over_prompts(final.reward[mask], number[mask])
                low[a, b], high[a, b] = middle[a, b] - error, middle[a, b] + error
    columns = [f"{task} ({int(mask.sum())})" for task, mask in members.items()]
    axes = [Axis("contender", names), Axis("task", list(members))]
    label = "accuracy" if has_checker else "reward by task"
    for name, values in ((label, middle), (f"{label} low", low), (f"{label} high", high)):
        yield Array(name, 0, values, axes, keep=False)
    if has_checker:
        shares = [[name, *map(float, row)] for name, row in zip(names, middle, strict=True)]
        yield Table("Right by task", ("contender", *columns), shares)
        ends = [
            [name, *(f"{a:.2f} to {b:.2f}" for a, b in zip(low[k], high[k], strict=True))]
            for k, name in enumerate(names)
        ]
        yield Table("95 % intervals", ("contender", *columns), ends)
    else:
        rows = [
            [name, *(_plus_minus(m, h - m) for m, h in zip(middle[k], high[k], strict=True))]
            for k, name in enumerate(names)
        ]
        yield Table("Reward by task", ("contender", *columns), rows)


def _over_prompts(values: np.ndarray, prompts: np.ndarray) -> tuple[float, float]:
    """Mean of the prompts' means and its standard error, NaN for one prompt."""
    means = np.array([values[prompts == prompt].mean() for prompt in np.unique(prompts)])
    error = float(means.std(ddof=1) / np.sqrt(len(means))) if len(means) > 1 else float("nan")
    return float(means.mean()), error


def _plus_minus(mean: float, error: float) -> str:
    return f"{mean:.3f}" if np.isnan(error) else f"{mean:.3f} ± {error:.3f}"
