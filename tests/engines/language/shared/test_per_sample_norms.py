"""Ghost norms against a loop of one backward pass a row, on every kind of layer."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from engines.language import char_policy, rl_rollouts
from engines.language.per_sample_norms import FORMED_LIMIT, UnsupportedLayer, record

B, T, V, D = 6, 5, 7, 8


class Stack(nn.Module):
    """Token ids to a number a row, through the layers under test."""

    def __init__(self, tied: bool = False, padding_idx: int | None = None) -> None:
        super().__init__()
        self.table = nn.Embedding(V, D, padding_idx=padding_idx)
        self.norm, self.rms = nn.LayerNorm(D), nn.RMSNorm(D)
        self.conv, self.linear = Conv1D(3 * D, D), nn.Linear(3 * D, D)
        self.head = nn.Linear(D, V, bias=False)
        if tied:
            self.head.weight = self.table.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.norm(self.table(ids))
        x = x + self.linear(torch.tanh(self.conv(x)))
        return self.head(self.rms(x))


def rows_of(model: nn.Module, ids: Tensor, mask: Tensor) -> Tensor:
    picked = model(ids).log_softmax(2)[:, :-1].gather(2, ids[:, 1:, None]).squeeze(2)
    return (picked * mask[:, 1:]).sum(1)


def loop_gradients(model: nn.Module, make_rows, count: int) -> Tensor:
    """(B, P): one backward pass for each row."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    found = []
    for b in range(count):
        grads = torch.autograd.grad(make_rows()[b], parameters, allow_unused=True)
        found.append(
            torch.cat(
                [
                    (torch.zeros_like(p) if g is None else g).flatten()
                    for p, g in zip(parameters, grads, strict=True)
                ]
            )
        )
    return torch.stack(found)


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(V, (B, T), generator=generator)
    lengths = torch.randint(2, T + 1, (B,), generator=generator)
    return ids, (torch.arange(T) < lengths[:, None]).float()


@pytest.mark.parametrize(("tied", "padding_idx"), [(False, None), (True, None), (False, 3)])
def test_norms_equal_a_loop_of_backward_passes(tied: bool, padding_idx: int | None) -> None:
    torch.manual_seed(1)
    model = Stack(tied, padding_idx)
    ids, mask = batch()
    truth = loop_gradients(model, lambda: rows_of(model, ids, mask), B)
    with record(model) as tape:
        rows = rows_of(model, ids, mask)
    tape.differentiate(rows.sum())
    torch.testing.assert_close(tape.squared_norms(), truth.square().sum(1), rtol=1e-5, atol=1e-7)
    formed = torch.cat([g for _, g in tape.rows()], 1)
    torch.testing.assert_close(formed.square().sum(1), truth.square().sum(1), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("formed_at_once", [True, False])
@pytest.mark.parametrize("tied", [True, False])
def test_combination_and_group_norms(
    formed_at_once: bool, tied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "engines.language.per_sample_norms.FORMED_LIMIT", FORMED_LIMIT if formed_at_once else 0
    )
    torch.manual_seed(2)
    model = Stack(tied)
    ids, mask = batch()
    c = torch.randn(B, generator=torch.Generator().manual_seed(3))
    truth = loop_gradients(model, lambda: rows_of(model, ids, mask), B) * c[:, None]
    groups = truth.reshape(2, B // 2, -1).sum(1)
    with record(model) as tape:
        rows = rows_of(model, ids, mask)
    tape.differentiate(rows.sum())
    combined = tape.combine(c, groups=2)
    torch.testing.assert_close(combined.group_squared_norms, groups.square().sum(1), rtol=1e-5, atol=1e-7)
    assert combined.squared_norm == pytest.approx(float(groups.sum(0).square().sum()), rel=1e-5)
    (c * rows_of(model, ids, mask)).sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(combined.gradients[name], parameter.grad, rtol=1e-4, atol=1e-6)


def test_groups_of_one_with_unit_advantage_are_sample_norms() -> None:
    model = Stack()
    ids, mask = batch()
    with record(model) as tape:
        rows = rows_of(model, ids, mask)
    tape.differentiate(rows.sum())
    torch.testing.assert_close(
        tape.combine(torch.ones(B), groups=B).group_squared_norms, tape.squared_norms(), rtol=1e-5, atol=1e-7
    )


def _hub_like(kind: str) -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel, Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    if kind == "gpt2":
        return char_policy.build_model()
    if kind == "gpt2-tied":
        sizes = {"vocab_size": 14, "n_positions": 16, "n_embd": 16, "n_layer": 1, "n_head": 2}
        return GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=12, eos_token_id=12))
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=14,
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=4,
            max_position_embeddings=32,
            tie_word_embeddings=True,
            bos_token_id=12,
            eos_token_id=12,
            pad_token_id=13,
        )
    )


@pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"  # peft asks transformers 5 by the old name
)
@pytest.mark.parametrize("kind", ["gpt2", "gpt2-tied", "qwen3", "qwen3-lora", "gpt2-lora"])
def test_language_models_with_padding_and_lora(kind: str) -> None:
    from peft import LoraConfig, get_peft_model

    model = _hub_like(kind.removesuffix("-lora")).eval()
    if kind.endswith("lora"):
        names = ["q_proj", "down_proj"] if kind.startswith("qwen3") else ["c_attn"]
        model = get_peft_model(
            model, LoraConfig(r=2, target_modules=names, fan_in_fan_out=kind == "gpt2-lora")
        )
        for name, parameter in model.named_parameters():  # B starts at zero, which would hide A's gradient
            if "lora_B" in name:
                parameter.data.normal_(0, 0.1)
    tokenizer = char_policy.build_tokenizer()
    prompts = ["07+15=", "1+2=", "19+1=", "3="]  # of different lengths: padded on the left
    rollout = rl_rollouts.sample(
        model, tokenizer, prompts, max_new_tokens=4, generator=torch.Generator().manual_seed(0)
    )
    assert (rollout.attention == 0).any()

    def rows() -> Tensor:
        log_probs, _ = rl_rollouts.token_log_probs(model, rollout)
        return (log_probs * rollout.response[:, 1:]).sum(1)

    truth = loop_gradients(model, rows, len(prompts))
    with record(model) as tape:
        objective = rows()
    tape.differentiate(objective.sum())
    torch.testing.assert_close(tape.squared_norms(), truth.square().sum(1), rtol=1e-5, atol=1e-7)


def test_unknown_layers_and_missing_rows_are_named() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))

    with pytest.raises(UnsupportedLayer, match="scale"), record(Odd()):
        pass
    model = nn.Sequential(nn.Embedding(4, 3))
    places = nn.Embedding(4, 3)
    both = nn.ModuleList([model, places])
    ids = torch.zeros(2, 4, dtype=torch.long)
    with record(both) as tape:
        out = model(ids) + places(torch.arange(4)[None])
    with pytest.raises(UnsupportedLayer, match=r"position_ids of shape \(B, T\)"):
        tape.differentiate(out.sum())
