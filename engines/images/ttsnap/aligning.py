"""How well scores of estimates rank the seeds as their final rewards do, by scorer and step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.images.ttsnap.method.metrics import kendall, mean_over_prompts, spearman, top_accuracy
from engines.images.ttsnap.method.replay import Lab
from engines.images.ttsnap.opening import AWARE, PLAIN

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Alignment:
    """`means[scorer][measure][step]`: Spearman, Kendall and Tacc(.25), means over prompts and rewards. `by_prompt[scorer][step]`
    [P]: Spearman, mean over rewards, NaN where a prompt's scores do not vary. Scorers that the lab does not have are empty."""

    means: Mapping[str, Mapping[str, Mapping[int, float]]]
    by_prompt: Mapping[str, Mapping[int, Floats]]


def aligned(lab: Lab) -> Alignment:
    """Of every scorer at every level."""
    means: dict[str, dict[str, dict[int, float]]] = {}
    by_prompt: dict[str, dict[int, Floats]] = {AWARE: {}, PLAIN: {}}
    for scorer in (AWARE, PLAIN):
        if scorer not in lab.scores:
            continue
        measures: dict[str, dict[int, float]] = {"Spearman": {}, "Kendall": {}, "top quarter": {}}
        for place, level in enumerate(lab.levels):
            pairs = [(lab.scores[scorer][r, ..., place], lab.final[r]) for r in range(len(lab.final))]
            correlations = [spearman(a, b) for a, b in pairs]
            measures["Spearman"][level] = float(np.mean([mean_over_prompts(c) for c in correlations]))
            measures["Kendall"][level] = float(np.mean([mean_over_prompts(kendall(a, b)) for a, b in pairs]))
            measures["top quarter"][level] = float(np.mean([top_accuracy(a, b, 0.25) for a, b in pairs]))
            by_prompt[scorer][level] = np.asarray(np.mean(correlations, axis=0))
        means[scorer] = measures
    return Alignment(means, by_prompt)
