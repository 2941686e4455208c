"""The interface of rewards, and the one preprocessing that they share (reno.md 2.3)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


class RewardMissing(RuntimeError):
    """A reward cannot be loaded; the message says why in one sentence and what to do."""


@dataclass(frozen=True)
class Features:
    """Prompts encoded for a reward, once: named tensors whose first axis runs over the prompts."""

    tensors: Mapping[str, torch.Tensor]

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def take(self, rows: torch.Tensor) -> Features:
        """The prompts of those rows (repeats allowed)."""
        return Features({k: v[rows] for k, v in self.tensors.items()})

    def expand(self, number: int) -> Features:
        """One prompt for `number` pictures. Raises ValueError when there is more than one prompt."""
        if len(self) != 1:
            raise ValueError(f"expand needs one prompt; got {len(self)}. Use take for a choice of rows.")
        return self.take(torch.zeros(number, dtype=torch.long))


class Reward(ABC):
    """A frozen, differentiable score of pictures for prompts; larger is better."""

    name: str

    @abstractmethod
    def encode(self, prompts: Sequence[str]) -> Features:
        """Whatever of the score does not depend on the picture, without gradients."""

    @property
    @abstractmethod
    def towers(self) -> tuple[torch.nn.Module, ...]:
        """The modules of transformers that gradients pass through: what `checkpoint_gradients` takes."""

    @property
    @abstractmethod
    def modules(self) -> tuple[torch.nn.Module, ...]:
        """All modules that hold weights."""

    def drop_text(self) -> None:
        """Free whatever only `encode` needs, once all prompts are encoded. Nothing, where the text sees the
        picture."""
        return

    @abstractmethod
    def score(self, pictures: torch.Tensor, features: Features) -> torch.Tensor:
        """Score [N] of pictures [N, 3, H, W] in 0..1 with one prompt each; gradients reach the pictures."""


def preprocess(pictures: torch.Tensor, size: int = 224) -> torch.Tensor:
    """Shorter side to `size` (bicubic with antialiasing, as torchvision's Resize), centre crop, CLIP's mean and
    standard deviation. Pictures [N, 3, H, W] in 0..1; gradients pass."""
    height, width = pictures.shape[-2:]
    scale = size / min(height, width)
    if scale != 1:
        # torchvision truncates the longer side
        shape = (size, int(size * width / height)) if height <= width else (int(size * height / width), size)
        pictures = functional.interpolate(
            pictures, shape, mode="bicubic", antialias=True, align_corners=False
        )
    height, width = pictures.shape[-2:]
    top, left = round((height - size) / 2), round((width - size) / 2)
    pictures = pictures[..., top : top + size, left : left + size]
    mean, std = (pictures.new_tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    return (pictures - mean) / std


def tensor_of(output: object) -> torch.Tensor:
    """The projected features of CLIPModel.get_*_features: a tensor in transformers 4, an output object whose
    `pooler_output` they are in transformers 5."""
    return output if isinstance(output, torch.Tensor) else output.pooler_output  # type: ignore[attr-defined]
