"""What ReNO is compared with: fresh noise again and again, and a search that needs no gradient.

Both keep the best of what they look at, one forward pass a look. The ablations (no regulariser, one reward
left out) are the method itself with other weights and settings."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch


@dataclass(frozen=True)
class Search:
    """The best of what was drawn so far, for each row: noise, pictures, rewards [N, K], their weighted sum [N]."""

    noise: torch.Tensor
    best: torch.Tensor
    pictures: torch.Tensor | None = None
    rewards: torch.Tensor | None = None
    evaluated: int = 0


def init_search(noise: torch.Tensor) -> Search:
    """A search whose first candidate will be `noise` [N, C, H, W]."""
    return Search(noise, noise.new_full((len(noise),), -torch.inf))


def consider(
    search: Search,
    candidate: torch.Tensor,
    pictures: torch.Tensor,
    rewards: torch.Tensor,
    weights: torch.Tensor,
) -> tuple[Search, torch.Tensor]:
    """Keep each row's candidate (its pictures and rewards [N, K] from `values`) where it beats the best so far.

    Answers the search and which rows changed. With fresh noise as candidates this is best-of-N."""
    total = (weights.expand(len(candidate), -1) * rewards).sum(1)
    better = total > search.best

    def choose(new: torch.Tensor, old: torch.Tensor | None) -> torch.Tensor:
        return new if old is None else torch.where(better.view(-1, *[1] * (new.ndim - 1)), new, old)

    found = replace(
        search,
        noise=choose(candidate, search.noise),
        best=choose(total, search.best),
        pictures=choose(pictures, search.pictures),
        rewards=choose(rewards, search.rewards),
        evaluated=search.evaluated + 1,
    )
    return found, better


def neighbour(noise: torch.Tensor, fresh: torch.Tensor, radius: float) -> torch.Tensor:
    """A noise near `noise` for zero-order search: (noise + radius fresh) rescaled to the norm of `noise`.

    `radius` is the step in units of the noise's own size (.05 to .2 in the notes)."""
    moved = noise + radius * fresh
    shape = (-1, *[1] * (noise.ndim - 1))
    return moved * (noise.flatten(1).norm(dim=1) / moved.flatten(1).norm(dim=1)).view(shape)
