"""Judges that nobody optimises: the exact checker of the embedded world, and rewards that are only watched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from engines.images.reno.objective import Objective

CHECKER = "checker"


@dataclass(frozen=True)
class Judged:
    """Verdicts on pictures [N]: `strict` (all demands met) and `soft` (share of them) of the exact checker, None
    outside the embedded world; `watched` [N, M] in the order of `Objective.watched`; `parts` say each demand."""

    strict: np.ndarray | None
    soft: np.ndarray | None
    watched: np.ndarray
    parts: tuple[str, ...]

    def rows(self, rows: slice) -> Judged:
        """Some of the verdicts."""
        strict, soft = (None if v is None else v[rows] for v in (self.strict, self.soft))
        return Judged(strict, soft, self.watched[rows], self.parts[rows])


class Judge:
    """Judges pictures for the prompts of an objective."""

    def __init__(self, objective: Objective, has_checker: bool) -> None:
        self.objective = objective
        self.has_checker = has_checker
        self.names = tuple(objective.watched)

    @torch.no_grad()
    def __call__(self, pictures: torch.Tensor, prompt_of: torch.Tensor) -> Judged:
        """Verdicts on pictures [N, 3, H, W] of the prompts numbered by `prompt_of`."""
        scores = [
            score(pictures, prompt_of).float().cpu().numpy() for score in self.objective.watched.values()
        ]
        watched = np.stack(scores, axis=1) if scores else np.empty((len(pictures), 0))
        if not self.has_checker:
            return Judged(None, None, watched, ("",) * len(pictures))
        from engines.images.world import caption_of, check

        arrays = pictures.detach().float().cpu().numpy()
        said = [
            check(picture, caption_of(self.objective.prompts[place]))
            for picture, place in zip(arrays, prompt_of.tolist(), strict=True)
        ]
        return Judged(
            np.array([v.strict for v in said]),
            np.array([v.soft for v in said]),
            watched,
            tuple(demands(v) for v in said),
        )

    def each(self, pictures: Mapping[str, torch.Tensor], prompt_of: torch.Tensor) -> dict[str, Judged]:
        """Verdicts on the pictures [N, 3, H, W] of several contenders for the same N prompts, in one batch."""
        if not pictures:
            return {}
        said = self(torch.cat(list(pictures.values())), prompt_of.repeat(len(pictures)))
        n = len(prompt_of)
        return {name: said.rows(slice(k * n, (k + 1) * n)) for k, name in enumerate(pictures)}


def demands(verdict: object) -> str:
    """ "number ✓, colour ✕": each demand of the caption with a tick or a cross."""
    return ", ".join(f"{part.name} {'✓' if part.ok else '✕'}" for part in verdict.parts)  # type: ignore[attr-defined]


def wilson(successes: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share by Wilson's score; (nan, nan) for n = 0."""
    if n == 0:
        return float("nan"), float("nan")
    p = successes / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # rounding would leave -0 and 1.0000000000000002
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))
