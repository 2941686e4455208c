"""Noise as a file, so that one run can start where another ended: ReNO writes it, any image engine may read it.

A safetensors file whose tensor `noise` is [N, C, H, W] (unit Gaussian scale, float32). ReNO adds of the same shape
`start` (where its search began), `best_noise` (what it found) and `momentum`, and what its optimizer knows, a row for
each noise (`reno.method.tensors_of`). NumPy's .npy holds the noise alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from engines.contract import Refusal

if TYPE_CHECKING:
    import torch

ACCEPT = (".safetensors", ".npy")
FIELD = "noise"
"""Name of the upload field and of the file in a run's record: the page offers one as the other."""
SHAPED = ("noise", "start", "best_noise", "momentum", "second")
"""Tensors that have the shape of a noise each; others only have a row for each."""


def write_noise(path: Path, tensors: Mapping[str, torch.Tensor], about: Mapping[str, str]) -> Path:
    """Write tensors and what they belong to (model, prompt), and answer the path."""
    from safetensors.torch import save_file

    # a tensor that is another's view cannot be written: each gets memory of its own
    save_file(
        {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, path, metadata=dict(about)
    )
    return path


def read_noise(path: Path, shape: tuple[int, int, int], field: str = FIELD) -> dict[str, torch.Tensor]:
    """Tensors of a file, `noise` [N, *shape] among them; those of its shape are float32.

    Raises Refusal for a file of another kind or shape, and for noise that is zero or not finite."""
    import numpy as np
    import torch

    try:
        if path.suffix == ".npy":
            found = {"noise": torch.from_numpy(np.load(path, allow_pickle=False).astype(np.float32))}
        else:
            from safetensors.torch import load_file

            found = {k: v.float() if k in SHAPED else v for k, v in load_file(path).items()}
    except Exception as error:  # safetensors has errors of its own, NumPy raises what it meets
        raise Refusal(
            field, f"{field}: {path.name!r} cannot be read as {' or '.join(ACCEPT)} ({type(error).__name__})."
        ) from error
    noise = found.get("noise")
    if noise is None:
        raise Refusal(
            field, f"{field}: {path.name!r} holds no tensor named noise; it has {', '.join(found)}."
        )
    if noise.ndim == 3:
        found = {k: v[None] for k, v in found.items() if v.shape == noise.shape}
        noise = found["noise"]
    wanted = "N x " + " x ".join(map(str, shape))
    if noise.ndim != 4 or tuple(noise.shape[1:]) != tuple(shape) or not len(noise):
        raise Refusal(field, f"{field} must be of shape {wanted} for this model; got {tuple(noise.shape)}.")
    for name, tensor in found.items():
        if name in SHAPED and tensor.shape != noise.shape:
            raise Refusal(
                field, f"{field}: the tensor {name} must have the shape of noise; got {tuple(tensor.shape)}."
            )
        if tensor.ndim == 0 or len(tensor) != len(noise):
            raise Refusal(
                field, f"{field}: the tensor {name} must have a row for each of {len(noise)} noises."
            )
        if not torch.isfinite(tensor).all():
            raise Refusal(field, f"{field}: the tensor {name} holds numbers that are not finite.")
    for name in {"noise", "start", "best_noise"} & set(found):
        if bool((found[name].flatten(1).norm(dim=1) == 0).any()):
            raise Refusal(
                field, f"{field}: the tensor {name} must not be zero: its direction would be undefined."
            )
    return found


def count_noise(path: Path, field: str = FIELD, wanted: tuple[int, ...] | None = None) -> int:
    """How many noises a file holds, from its header alone. Raises Refusal, also where a noise has another shape than
    `wanted` (channels, height, width), where that is known."""
    try:
        if path.suffix == ".npy":
            import numpy as np

            shape = tuple(np.load(path, mmap_mode="r", allow_pickle=False).shape)
        else:
            from safetensors import safe_open

            with safe_open(path, framework="numpy") as file:
                shape = tuple(file.get_slice("noise").get_shape())
    except Exception as error:  # safetensors has errors of its own, NumPy raises what it meets
        raise Refusal(
            field,
            f"{field}: {path.name!r} cannot be read as {' or '.join(ACCEPT)} with an array named noise.",
        ) from error
    if len(shape) not in (3, 4):
        raise Refusal(field, f"{field} must be an array N x channels x height x width; got shape {shape}.")
    if wanted is not None and shape[-3:] != tuple(wanted):
        here, there = (" x ".join(map(str, size)) for size in (wanted, shape[-3:]))
        raise Refusal(
            field,
            f"{field} must hold noises of {here} numbers for this model; those of {path.name!r} have {there}. Choose the "
            "model of the run that wrote it, or another file.",
        )
    return shape[0] if len(shape) == 4 else 1
