"""Going on where another run stopped: from a noise file to ReNO's state, and from a contest to what the file holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from engines.contract import Refusal
from engines.images import noise_file
from engines.images.reno.method import Settings, State, init, state_of, tensors_of
from engines.images.reno.params import RenoParams

if TYPE_CHECKING:
    from engines.images.reno.contest import Arm


@dataclass(frozen=True)
class Resumed:
    """What a noise file says of the first `seeds` noises. `start` is where the search began (the plain picture),
    `found` its best noise (None of an array that no search wrote), `spent` the forward passes of a noise so far.
    `knows` is False where the file holds nothing for the optimizer of this run."""

    start: torch.Tensor
    state: State
    found: torch.Tensor | None
    spent: float
    knows: bool


def resume(
    tensors: Mapping[str, torch.Tensor], params: RenoParams, settings: Settings, device: torch.device
) -> Resumed:
    """ReNO's state from the tensors of a noise file: the last noise with all that the optimizer knew, or the best
    noise with nothing. Both count the iterations made before. Raises Refusal for tensors that are none of ReNO's."""
    rows = {name: tensor[: params.seeds].to(device) for name, tensor in tensors.items()}
    noise = rows["noise"]
    found = rows.get("best_noise")
    try:
        state, knows = state_of(rows, settings)
    except ValueError as error:
        raise Refusal(noise_file.FIELD, f"{noise_file.FIELD}: {error}") from error
    if found is None:
        return Resumed(noise, state, None, 0.0, True)
    if params.resume == "best":
        state = replace(init(found), iteration=state.iteration, scale=state.scale, best_at=state.best_at)
        knows = True
    spent = float(rows["passes"].double().mean()) if "passes" in rows else 0.0
    return Resumed(rows.get("start", noise), state, found, spent, knows)


def kept(start: torch.Tensor, state: State, arm: Arm) -> dict[str, torch.Tensor]:
    """The tensors of a noise file: where ReNO began, where it stands, and what it cost."""
    return {**tensors_of(state), "start": start, "passes": torch.full((len(start),), arm.passes)}
