"""From a model reference to a policy that can be trained: an embedded name, a local folder, or a hub id.

Only safetensors are read and no code of a model repository is ever run. Whatever cannot be had gives one sentence.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engines.language import char_policy, loading

if TYPE_CHECKING:
    from torch import nn


@dataclass
class Policy:
    """A causal language model in evaluation mode (no dropout), its tokenizer, and whether only adapters train."""

    model: nn.Module
    tokenizer: Any
    adapters: bool = False

    @property
    def trainable(self) -> int:
        """Number of trainable parameters."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)

    def copy(self) -> Policy:
        """An independent policy with equal parameters; the tokenizer is shared."""
        return Policy(copy.deepcopy(self.model), self.tokenizer, self.adapters)

    @contextmanager
    def reference(self, frozen: nn.Module | None) -> Iterator[nn.Module]:
        """The policy before training: `frozen`, or the base model with its adapters off."""
        if frozen is not None:
            yield frozen
        else:
            with self.model.disable_adapter():
                yield self.model


def check_reference(reference: str, field: str) -> None:
    """Cheap check of a model reference, without loading anything; raises `Refusal`."""
    loading.check_reference(reference, field, (char_policy.EMBEDDED,))


def load(reference: str, device: str, field: str = "model", lora_rank: int = 0, seed: int = 0) -> Policy:
    """The policy of that reference on `device`; raises `Refusal`.

    float32 on a CPU, bfloat16 elsewhere unless everything trains. `lora_rank` > 0 freezes the model and adds
    adapters of that rank to all its linear layers, drawn from `seed`."""
    check_reference(reference, field)
    if reference == char_policy.EMBEDDED:
        policy = Policy(_embedded(), char_policy.build_tokenizer())
    else:
        policy = _from_pretrained(reference, device, field, narrow=lora_rank > 0)
    if lora_rank > 0:
        policy = with_adapters(policy, lora_rank, seed)
    policy.model.to(device).eval()
    return policy


def _embedded() -> nn.Module:
    import torch
    from transformers import GPT2LMHeadModel

    with loading.no_progress_bar():
        return GPT2LMHeadModel.from_pretrained(
            char_policy.FOLDER, dtype=torch.float32, use_safetensors=True, local_files_only=True
        )


def _from_pretrained(reference: str, device: str, field: str, narrow: bool) -> Policy:
    import torch

    dtype = torch.bfloat16 if narrow and device != "cpu" else torch.float32
    return Policy(*loading.pretrained(reference, field, char_policy.EMBEDDED, dtype))


def with_adapters(policy: Policy, rank: int, seed: int) -> Policy:
    """The same model, frozen, with LoRA adapters on all linear layers (peft); alpha = 2 * rank."""
    import torch
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        # peft tells GPT-2's Conv1D apart by itself and says so; and it asks transformers 5 by a name that is going.
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to False", category=UserWarning)
        warnings.filterwarnings(
            "ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning
        )
        torch.manual_seed(seed)
        return Policy(get_peft_model(policy.model, config), policy.tokenizer, adapters=True)
