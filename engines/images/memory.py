"""What makes a run need less memory: checkpointing that is really on, streaming of weights, tiled decoding.

How much a run needs is computed before it starts, by `dry_run.py`. What is not offered, because gradients do not
survive it: moving a whole network off the device between its forward and its backward pass (diffusers'
`enable_model_cpu_offload`): the graph still refers to the weights, which would then lie on another device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Economy:
    """What is done to need less memory. All are exact but `tiny` and `tiles`, which change the picture.

    `checkpointing`: activations are computed again in the backward pass (about a third slower).
    `encoders_leave`: text encoders are on the device only while prompts are encoded, so encode all prompts first.
    `streaming`: the network's weights stay in main memory and visit the device layer by layer (many times
    slower); with gradients it needs checkpointing, or the graph would keep all of them there.
    `tiny`: hub id or folder of an AutoencoderTiny that decodes in place of the full decoder.
    `tiles`: the full decoder works on overlapping tiles of a large picture. Gradients are exact for that picture,
    which differs from the untiled one near seams and in its group norms; without checkpointing it saves nothing
    in a run with gradients."""

    checkpointing: bool = False
    encoders_leave: bool = False
    streaming: bool = False
    tiny: str = ""
    tiles: bool = False


def checkpoint_gradients(module: Any) -> None:
    """Turn checkpointing on so that it acts on a frozen module.

    diffusers checkpoints whenever gradients are enabled. transformers 5 does so only in training mode, where
    eval() would silently switch it off: the module goes to train() with every dropout set to 0."""
    if hasattr(module, "gradient_checkpointing_enable"):  # transformers
        # the newer name, where there is one: the older warns
        enable = getattr(module, "activation_checkpointing_enable", module.gradient_checkpointing_enable)
        enable()
        silence_dropout(module)
        module.train()
    elif hasattr(module, "enable_gradient_checkpointing"):  # diffusers
        module.enable_gradient_checkpointing()
    else:
        raise TypeError(f"{type(module).__name__} has no gradient checkpointing.")


def silence_dropout(module: nn.Module) -> None:
    """Every dropout to 0, in modules and in the attention functions that read a number."""
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
        for name in ("dropout", "attention_dropout", "dropout_p"):
            if isinstance(getattr(part, name, None), float):
                setattr(part, name, 0.0)


def weights_bytes(*modules: nn.Module | None) -> int:
    """Bytes of the parameters and buffers of modules; shared ones count once, None not at all."""
    tensors = {id(t): t for m in modules if m is not None for t in [*m.parameters(), *m.buffers()]}
    return sum(t.numel() * t.element_size() for t in tensors.values())


def stream_weights(module: nn.Module, device: str) -> None:
    """Keep the weights in main memory; each layer's visit `device` for its own call. Departs with `.to`."""
    from accelerate import cpu_offload

    cpu_offload(module, execution_device=torch.device(device), offload_buffers=True)


def tile_decoder(vae: Any) -> None:
    """Tiled decoding. Raises ValueError for a decoder that has none."""
    if not hasattr(vae, "enable_tiling"):
        raise ValueError(
            f"{type(vae).__name__} cannot decode in tiles: use a tiny decoder or a smaller picture."
        )
    vae.enable_tiling()
