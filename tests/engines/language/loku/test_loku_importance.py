"""Fisher values against the loop over samples, their weighting, and the row weights."""

from __future__ import annotations

import pytest
import torch
from loku_models import GPT2_TARGETS, NEO_TARGETS, rows, tiny_gpt2, tiny_neo
from torch import nn

from engines.language.loku.method import Epsilons, FisherMeter, relative_importance, row_weights
from engines.language.loku.method.importance import share_above, target_layers
from engines.language.prompts import Encoded, collate


def one_by_one(
    model: nn.Module, questions: list[Encoded], targets: tuple[str, ...], group: int = 1
) -> dict[str, torch.Tensor]:
    """The slow obvious version: a backward pass for each group, squared gradients of the weights."""
    layers = target_layers(model, targets)
    sums = {name: torch.zeros_like(layer.weight) for name, layer in layers.items()}
    tokens = 0
    for start in range(0, len(questions), group):
        batch = collate(questions[start : start + group], 0)
        model.zero_grad()
        model(**batch.inputs(), labels=batch.labels).loss.backward()  # transformers' own token mean
        count = batch.answer_tokens
        tokens += count
        for name, layer in layers.items():
            sums[name] += count * layer.weight.grad**2
    model.zero_grad()
    turned = isinstance(next(iter(layers.values())), nn.Linear)
    return {name: (total if turned else total.T) / tokens for name, total in sums.items()}


@pytest.mark.parametrize(("make", "targets"), [(tiny_neo, NEO_TARGETS), (tiny_gpt2, GPT2_TARGETS)])
@pytest.mark.parametrize("group", [1, 2])
def test_one_backward_pass_equals_the_loop(make, targets, group: int) -> None:
    model, questions = make(), rows(6)
    expected = one_by_one(model, questions, targets, group)
    meter = FisherMeter(model, targets, fisher_batch=group)
    meter.add(collate(questions[:4], 0))
    meter.add(collate(questions[4:], 0))
    found = meter.values()
    assert set(found) == set(expected)
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, atol=1e-9, rtol=1e-4)


def test_duplicated_data_gives_the_same_values() -> None:
    model, questions = tiny_neo(), rows(4)
    once, twice = FisherMeter(model, ("c_fc",)), FisherMeter(model, ("c_fc",))
    once.add(collate(questions, 0))
    for _ in range(2):
        twice.add(collate(questions, 0))
    for name, values in once.values().items():
        torch.testing.assert_close(twice.values()[name], values, atol=1e-12, rtol=1e-6)


def test_a_batch_mean_understates() -> None:
    model, questions = tiny_neo(), rows(8)
    proper, official = FisherMeter(model, ("c_fc",)), FisherMeter(model, ("c_fc",), fisher_batch=4)
    for meter in (proper, official):
        meter.add(collate(questions, 0))
    assert sum(float(v.sum()) for v in official.values().values()) < sum(
        float(v.sum()) for v in proper.values().values()
    )


def test_the_model_is_left_as_it_was() -> None:
    model = tiny_neo()
    next(model.parameters()).requires_grad_(False)
    flags = [p.requires_grad for p in model.parameters()]
    meter = FisherMeter(model, ("q_proj",))
    meter.add(collate(rows(2), 0))
    assert [p.requires_grad for p in model.parameters()] == flags
    assert all(p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks for m in model.modules())


def test_bad_input_is_refused() -> None:
    model = tiny_neo()
    with pytest.raises(ValueError, match="no layer of the model is called nonsense"):
        FisherMeter(model, ("nonsense",))
    with pytest.raises(ValueError, match="nothing was added"):
        FisherMeter(model, ("q_proj",)).values()
    empty = Encoded((1, 2, 3), 3)
    with pytest.raises(ValueError, match="no answer token"):
        FisherMeter(model, ("q_proj",)).add(collate([empty, *rows(1)], 0))


def test_relative_importance_and_row_weights() -> None:
    forget, retain = torch.tensor([[4.0, 1.0], [0.0, 2.0]]), torch.tensor([[1.0, 1.0], [1.0, 4.0]])
    exact = Epsilons(0.0, 0.0, 0.0, relative=False)
    ratio = relative_importance(forget, retain, exact)
    torch.testing.assert_close(ratio, torch.tensor([[4.0, 1.0], [0.0, 0.5]]))
    torch.testing.assert_close(row_weights(ratio, exact), torch.tensor([5.0, 0.5]).sqrt())


def test_tiny_gradients_keep_their_contrast_with_relative_epsilons_only() -> None:
    draw = torch.Generator().manual_seed(0)
    forget, retain = torch.rand(6, 5, generator=draw) * 1e-9, torch.rand(6, 5, generator=draw) * 1e-9
    assert share_above(retain, Epsilons.OFFICIAL) == 0
    assert share_above(retain, Epsilons.RELATIVE) > 0.95
    official = relative_importance(forget, retain, Epsilons.OFFICIAL)
    torch.testing.assert_close(official / official.sum(), forget / forget.sum(), rtol=1e-3, atol=0)
    scaled = relative_importance(1e6 * forget, 1e6 * retain)
    torch.testing.assert_close(relative_importance(forget, retain), scaled, rtol=1e-4, atol=0)


def test_rows_without_weight_are_lifted() -> None:
    relative = torch.tensor([[1.0], [0.0], [1e-12]])
    assert row_weights(relative).tolist() == pytest.approx([1.0, 1e-3, 1e-3])
    assert row_weights(torch.zeros(3, 2)).tolist() == [1.0, 1.0, 1.0]
    assert row_weights(relative, Epsilons.OFFICIAL).tolist() == pytest.approx([1.0, 0.0, 1e-6])


def test_epsilons_by_name() -> None:
    assert Epsilons.named("official") is Epsilons.OFFICIAL
    with pytest.raises(ValueError, match="relative, official"):
        Epsilons.named("mine")
