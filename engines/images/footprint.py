"""How much memory a run needs, in numbers and in words, and the refusal when there is less.

    footprint = measure(...)                       dry_run.py: from configurations alone, before loading
    require_fit(footprint, free_bytes(device))     Refusal in one sentence

Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from engines.contract import Refusal
from engines.devices import memory_bytes

FACTOR = 1.3
"""Measured peaks lie within this factor of `total` either way (tests/engines/images/test_images_memory.py)."""
CONTEXT = 600 << 20
"""What CUDA takes for itself and its kernels' workspaces, about."""


@dataclass(frozen=True)
class Footprint:
    """Bytes that a run takes on its device at the same time.

    `weights` by part, in the run's dtype; `visiting` the parts that are there only while prompts are encoded;
    `work` the largest sum of everything else that is alive in one iteration; `fixed` the device's own share;
    `batch` the pictures of one iteration; `noise_shape` channels, height and width of the noise that the model takes."""

    weights: Mapping[str, int]
    work: int
    batch: int
    visiting: Mapping[str, int] = field(default_factory=dict)
    fixed: int = 0
    elements: Mapping[str, int] = field(default_factory=dict)
    """Bytes of the weights by dtype."""
    noise_shape: tuple[int, ...] = ()

    @property
    def encoding(self) -> int:
        """Bytes while prompts are encoded."""
        return self.fixed + sum(self.weights.values()) + sum(self.visiting.values())

    @property
    def iterating(self) -> int:
        """Bytes in an iteration."""
        return self.fixed + sum(self.weights.values()) + self.work

    @property
    def total(self) -> int:
        """The larger of the two moments."""
        return max(self.encoding, self.iterating)

    def sentence(self) -> str:
        """ "about 9.3 GB: while prompts are encoded 8.0 GB (text_encoder 0.6 GB and what stays), afterwards 9.3 GB (network
        3.4 GB, ..., one iteration of 8 pictures 4.1 GB, CUDA itself 0.6 GB)"; without the first where nothing leaves."""
        pictures = "1 picture" if self.batch == 1 else f"{self.batch} pictures"
        last = [("CUDA itself", self.fixed)] if self.fixed else []
        stays = _listed([*_largest(self.weights), (f"one iteration of {pictures}", self.work), *last])
        if not self.visiting:
            return f"about {size(self.total)}: {stays}"
        leaves = _listed(_largest(self.visiting))
        return (
            f"about {size(self.total)}: while prompts are encoded {size(self.encoding)} ({leaves}, and the weights that stay), "
            f"afterwards {size(self.iterating)} ({stays})"
        )

    def beside(self, name: str, others: Mapping[str, int]) -> Footprint:
        """This footprint where `others` lie on the device all the while."""
        return replace(self, weights={**self.weights, name: sum(others.values())})


def _largest(parts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(parts.items(), key=lambda item: -item[1])


def _listed(parts: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {size(number)}" for name, number in parts if number)


def size(number: int) -> str:
    """Bytes in words: 1.4 GB, 350 MB, 3.5 MB."""
    if number >= 2**30:
        return f"{number / 2**30:.1f} GB"
    megabytes = max(number, 1) / 2**20
    return f"{megabytes:.0f} MB" if megabytes >= 100 else f"{megabytes:.3g} MB"


def free_bytes(device: str) -> int:
    """Memory that is free on "cpu", "cuda[:n]" or "mps", in bytes. Imports torch for the latter two."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(torch.device(device))[0])
    if device.startswith("mps"):
        import torch

        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return memory_bytes()


def require_fit(
    footprint: Footprint, free: int, *, field: str = "generator", ways_out: tuple[str, ...] = ()
) -> None:
    """Raise Refusal at `field` when the footprint is larger than `free` bytes.

    `ways_out` are what the engine still has to offer ("fewer seeds at once", "checkpointing")."""
    if footprint.total <= free:
        return
    rest = " or ".join(ways_out or ("a smaller model", "fewer pictures at once"))
    raise Refusal(field, f"{field} needs {footprint.sentence()}; {size(free)} are free. Choose {rest}.")
