"""Memory: gradient checkpointing that is really on, and how much a run needs before it starts."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


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


def weights_bytes(*modules: nn.Module) -> int:
    """Bytes of the parameters and buffers of modules."""
    return sum(t.numel() * t.element_size() for m in modules for t in [*m.parameters(), *m.buffers()])


@torch.no_grad()
def count_activations(module: nn.Module, call: Any) -> int:
    """Bytes of the outputs of all leaf modules during `call()`: about what the backward pass has to keep."""
    total, hooks = 0, []

    def add(_: nn.Module, __: Any, output: Any) -> None:
        nonlocal total
        if isinstance(output, torch.Tensor):
            total += output.numel() * output.element_size()

    for part in module.modules():
        if not list(part.children()):
            hooks.append(part.register_forward_hook(add))
    try:
        call()
    finally:
        for hook in hooks:
            hook.remove()
    return total


def refuse_if_too_large(needed_bytes: int, free_bytes: int, what: str) -> None:
    """Raise MemoryError with a sentence when `what` does not fit."""
    if needed_bytes > free_bytes:
        raise MemoryError(
            f"{what} needs about {needed_bytes / 2**30:.1f} GB and {free_bytes / 2**30:.1f} GB are free: choose a "
            "smaller model, fewer seeds at once, or checkpointing."
        )
