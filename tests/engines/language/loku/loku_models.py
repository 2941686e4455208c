"""Tiny random models, built in code: two architectures, one of which stores its weights the other way round."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn

from engines.language.prompts import Encoded

VOCABULARY = 40
NEO_TARGETS = ("q_proj", "k_proj", "v_proj", "out_proj", "c_fc", "c_proj")
GPT2_TARGETS = ("c_attn", "c_fc", "c_proj")


def tiny_neo(seed: int = 0) -> nn.Module:
    """A GPT-Neo of two layers, width 16."""
    from transformers import GPTNeoConfig, GPTNeoForCausalLM

    torch.manual_seed(seed)
    config = GPTNeoConfig(
        vocab_size=VOCABULARY, hidden_size=16, num_layers=2, num_heads=2, intermediate_size=32,
        max_position_embeddings=24, attention_types=[[["global"], 2]], attention_dropout=0.0, embed_dropout=0.0,
        resid_dropout=0.0, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return GPTNeoForCausalLM(config).eval()


def tiny_gpt2(seed: int = 0) -> nn.Module:
    """A GPT-2 of two layers, width 16: its layers are Conv1D, weights (d_in, d_out)."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=VOCABULARY, n_embd=16, n_layer=2, n_head=2, n_positions=24, attn_pdrop=0.0, embd_pdrop=0.0,
        resid_pdrop=0.0, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval()


def rows(count: int, seed: int = 0, length: int = 12) -> list[Encoded]:
    """Random questions with random answers of various lengths."""
    draw = torch.Generator().manual_seed(seed)
    made = []
    for k in range(count):
        size = length - k % 3
        ids = torch.randint(1, VOCABULARY, (size,), generator=draw).tolist()
        made.append(Encoded(tuple(ids), 3 + k % 4))
    return made


def adapted(
    model: nn.Module, targets: tuple[str, ...], rank: int, start: Any = True, alpha: int | None = None
) -> Any:
    """The model with LoRA adapters of peft (the model itself is changed)."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=rank, lora_alpha=2 * rank if alpha is None else alpha, target_modules=list(targets), init_lora_weights=start,
        task_type="CAUSAL_LM",
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to False", category=UserWarning)
        warnings.filterwarnings(
            "ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning
        )
        return get_peft_model(model, config)
