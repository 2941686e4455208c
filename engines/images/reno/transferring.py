"""The noise that ReNO found, handed to a many-step model (section 2.5 of the notes, "multi apply")."""

from __future__ import annotations

import numpy as np
import torch

from engines.images import choices
from engines.images.reno.finals import Final
from engines.images.reno.judging import Judge
from engines.images.reno.objective import Objective, encoded, recipe, transfer_economy
from engines.images.reno.params import RenoParams


class Transfer:
    """The many-step model of a run, opened once, with all prompts of the objective.

    Raises Refusal where it cannot be loaded or takes noise of another shape."""

    def __init__(self, objective: Objective, params: RenoParams, device: str) -> None:
        name = params.transfer_model
        self.objective, self.at_once = objective, params.at_once
        self.generator = choices.open_generator(name, device, "transfer", transfer_economy(params))
        choices.check_shapes("transfer", name, self.generator.noise_shape, objective.noise_shape)
        self.steps, self.guidance = recipe(name)
        self.conditioning = encoded(self.generator, objective.prompts, guided=self.guidance > 1)
        self.weights = torch.tensor(objective.weights, device=objective.device)

    @torch.no_grad()
    def pictures(self, noise: torch.Tensor, prompt_of: torch.Tensor) -> torch.Tensor:
        """Pictures [N, 3, H, W] of noises whose prompts are numbered by `prompt_of`."""
        parts = torch.arange(len(noise), device=noise.device).split(self.at_once or len(noise))
        return torch.cat([self._some(noise[rows], prompt_of[rows]) for rows in parts])

    def _some(self, noise: torch.Tensor, prompt_of: torch.Tensor) -> torch.Tensor:
        told = self.conditioning.take(prompt_of)
        return self.generator.decode(
            self.generator.sample(noise, told, steps=self.steps, guidance=self.guidance)
        )

    def finals(
        self, start: torch.Tensor, found: torch.Tensor, prompt_of: torch.Tensor, judge: Judge
    ) -> tuple[Final, Final]:
        """What the model draws from the plain noises, and from those that ReNO found."""
        pictures = self.pictures(torch.cat([start, found]), prompt_of.repeat(2))
        one, other = pictures.chunk(2)
        return self._final(one, start, prompt_of, judge), self._final(other, found, prompt_of, judge)

    @torch.no_grad()
    def _final(
        self, pictures: torch.Tensor, noise: torch.Tensor, prompt_of: torch.Tensor, judge: Judge
    ) -> Final:
        rewards = torch.stack(
            [score(pictures, prompt_of) for score in self.objective.rewards.values()], dim=1
        )
        total = (self.weights * rewards.float()).sum(1)
        norm = noise.flatten(1).norm(dim=1)
        judged = judge(pictures, prompt_of)
        return Final(_array(total), _array(rewards), judged, 1, _array(norm), pictures)


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy()
