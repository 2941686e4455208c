"""How much memory a run needs, in numbers and in words, and the refusal when there is less.

    footprint = measure(...)                       dry_run.py: from configurations alone, before loading
    require_fit(footprint, free_bytes(device))     Refusal in one sentence

Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
    `batch` the pictures of one iteration."""

    weights: Mapping[str, int]
    work: int
    batch: int
    visiting: Mapping[str, int] = field(default_factory=dict)
    fixed: int = 0
    elements: Mapping[str, int] = field(default_factory=dict)
    """Bytes of the weights by dtype."""

    @property
    def total(self) -> int:
        """The larger of the two moments: encoding prompts, and an iteration."""
        return self.fixed + sum(self.weights.values()) + max(self.work, sum(self.visiting.values()))

    def sentence(self) -> str:
        """ "about 9.3 GB: weights 5.1 GB (network 3.4 GB, ...), one iteration of 8 pictures 4.1 GB"."""
        parts = sorted([*self.weights.items(), *self.visiting.items()], key=lambda item: -item[1])
        listed = ", ".join(f"{name} {size(n)}" for name, n in parts if n)
        held = sum(self.weights.values()) + sum(self.visiting.values())
        pictures = "1 picture" if self.batch == 1 else f"{self.batch} pictures"
        return f"about {size(self.total)}: weights {size(held)} ({listed}), one iteration of {pictures} {size(self.work)}"


def size(number: int) -> str:
    """Bytes in words: 1.4 GB, 35 MB."""
    return f"{number / 2**30:.1f} GB" if number >= 2**30 else f"{max(number, 1) / 2**20:.3g} MB"


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
