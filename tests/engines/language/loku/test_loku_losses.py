"""The losses against closed forms and against one another, and the loop's schedule, pairing and last good state."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
from loku_models import NEO_TARGETS, adapted, rows, tiny_neo
from torch.nn.functional import cross_entropy

from engines.language.loku.baselines import (
    LOSS_KEYS,
    NEEDS_REFERENCE,
    NEEDS_REFUSALS,
    LossSettings,
    Pair,
    dpo,
    npo,
    row_losses,
    simnpo,
    terms,
    token_loss,
    weighted_ascent,
)
from engines.language.loku.unlearning import Diverged, Questions, Settings, Unlearner
from engines.language.prompts import collate

CONSTANTS = LossSettings(rmu_direction=torch.ones(16) / 4)


@pytest.fixture(scope="module")
def pair() -> Pair:
    return Pair(collate(rows(4, 1), 0), collate(rows(4, 2), 0), collate(rows(4, 3), 0))


def gradient(model, loss) -> torch.Tensor:
    return torch.cat(
        [
            g.flatten()
            for g in torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
            if g is not None
        ]
    )


def test_npo_at_the_reference_and_towards_ascent(pair: Pair) -> None:
    nll = torch.tensor([3.0, 5.0])
    assert float(npo(nll, nll, 0.1)) == pytest.approx(2 / 0.1 * math.log(2), rel=1e-6)
    model = tiny_neo()
    logits = model(**pair.forget.inputs()).logits
    sums, _ = row_losses(logits, pair.forget.labels)
    ascent = gradient(model, -sums.mean())
    logits = model(**pair.forget.inputs()).logits
    sums, _ = row_losses(logits, pair.forget.labels)
    small = gradient(model, npo(sums, sums.detach() - 1.0, 1e-5))
    torch.testing.assert_close(small, ascent, rtol=1e-3, atol=1e-5)


def test_kin_of_npo() -> None:
    nll, tokens = torch.tensor([4.0, 9.0]), torch.tensor([2.0, 3.0])
    assert float(simnpo(nll, tokens, 4.5, 0.0)) == pytest.approx(
        float(npo(nll / tokens, torch.zeros(2), 4.5))
    )
    assert float(dpo(torch.zeros(2), torch.zeros(2), 0.1)) == pytest.approx(20 * math.log(2), rel=1e-6)
    # with nothing chosen, DPO is NPO
    assert float(dpo(torch.zeros(2), tokens - nll, 0.1)) == pytest.approx(float(npo(nll, tokens, 0.1)))


def test_token_losses_are_transformers_own(pair: Pair) -> None:
    model = tiny_neo()
    out = model(**pair.forget.inputs(), labels=pair.forget.labels)
    torch.testing.assert_close(token_loss(out.logits, pair.forget.labels), out.loss)
    sums, tokens = row_losses(out.logits, pair.forget.labels)
    torch.testing.assert_close(sums.sum() / tokens.sum(), out.loss)
    assert float(tokens.sum()) == pair.forget.answer_tokens


def test_weighted_ascent_is_ascent_at_beta_0_and_leaves_the_unlikely_alone(pair: Pair) -> None:
    logits = tiny_neo()(**pair.forget.inputs()).logits.detach()
    torch.testing.assert_close(
        weighted_ascent(logits, pair.forget.labels, 0.0), -token_loss(logits, pair.forget.labels)
    )
    assert abs(float(weighted_ascent(logits, pair.forget.labels, 4.0))) < 1e-3


@pytest.mark.parametrize("key", LOSS_KEYS)
def test_every_loss_has_a_gradient_and_says_what_it_needs(key, pair: Pair) -> None:
    model, original = tiny_neo(), tiny_neo().requires_grad_(False)
    found = terms(key, model, pair, CONSTANTS, original)
    total = found.forget if found.retain is None else found.forget + found.retain
    assert float(gradient(model, total).abs().max()) > 0
    assert set(found.seen) == {"IHL", "p target", "p runner-up"}
    assert (found.retain is None) == (key == "ga")
    if key in NEEDS_REFERENCE:
        with pytest.raises(ValueError, match="original model"):
            terms(key, model, pair, CONSTANTS)
    if key in NEEDS_REFUSALS:
        with pytest.raises(ValueError, match="evasive answers"):
            terms(key, model, replace(pair, refusal=None), CONSTANTS, original)


def test_drift_is_zero_at_the_original_and_equals_the_formula(pair: Pair) -> None:
    model, original = tiny_neo(), tiny_neo().requires_grad_(False)
    assert float(terms("kl", model, pair, CONSTANTS, original).retain.detach()) == pytest.approx(0, abs=1e-6)
    other = tiny_neo(seed=1)
    found = float(terms("kl", other, pair, CONSTANTS, original).retain.detach())
    p, q = (m(**pair.retain.inputs()).logits[:, :-1].softmax(-1).detach() for m in (original, other))
    due = pair.retain.labels[:, 1:] != -100
    assert found == pytest.approx(float((p * (p / q).log()).sum(-1)[due].mean()), rel=1e-4)


def test_evasive_answers_are_learnt(pair: Pair) -> None:
    logits = tiny_neo()(**pair.refusal.inputs()).logits
    expected = cross_entropy(logits[:, :-1].transpose(1, 2), pair.refusal.labels[:, 1:])
    torch.testing.assert_close(terms("idk", tiny_neo(), pair, CONSTANTS).forget, expected)


def loop(model, seed: int = 0, **changes) -> Unlearner:
    questions = Questions(rows(10, 1), rows(20, 2), rows(10, 3))
    return Unlearner(model, questions, Settings(batch=4, epochs=3, **changes), pad=0, seed=seed)


def test_schedule_warms_up_for_an_epoch_and_falls_to_zero() -> None:
    unlearner = loop(tiny_neo(), lr=1e-3)
    assert unlearner.steps_an_epoch == 3
    rates = [unlearner.rate(step) for step in range(1, 11)]
    assert rates[:3] == pytest.approx([1e-3 / 3, 2e-3 / 3, 1e-3])
    assert rates[2] > rates[3] > rates[8] > 0
    assert unlearner.rate(unlearner.steps + 1) == 0


def test_an_epoch_sees_every_question_once_and_pairs_it() -> None:
    unlearner = loop(tiny_neo())
    seen, first = [], None
    for step in (1, 2, 3):
        pair = unlearner._pair(step)
        assert len(pair.forget.ids) == len(pair.retain.ids) == len(pair.refusal.ids)
        seen += [
            tuple(row[mask.bool()].tolist())
            for row, mask in zip(pair.forget.ids, pair.forget.attention, strict=True)
        ]
        first = first or pair
    assert sorted(seen) == sorted(row.ids for row in rows(10, 1))
    again = loop(tiny_neo(1))._pair(1)
    assert torch.equal(first.retain.ids, again.retain.ids), "every contender of a seed sees the same"


def test_the_hinge_forgets_and_the_rest_is_frozen() -> None:
    model = tiny_neo()
    learner = torch.optim.AdamW(model.parameters(), lr=1e-2)
    batch = collate(rows(10, 1), 0)
    for _ in range(40):  # something to forget
        learner.zero_grad()
        token_loss(model(**batch.inputs()).logits, batch.labels).backward()
        learner.step()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    peft_model = adapted(model, NEO_TARGETS, rank=4)
    unlearner = loop(peft_model, lr=3e-2)
    infos = [unlearner.step() for _ in range(unlearner.steps)]
    assert infos[0].seen["IHL"] > 1.5
    assert infos[-1].seen["IHL"] < infos[0].seen["IHL"] - 0.3
    assert infos[-1].seen["p target"] < infos[0].seen["p target"]
    assert infos[-1].epoch == 3
    for name, p in peft_model.get_base_model().named_parameters():
        if "lora_" not in name:
            assert torch.equal(p, before[name.replace("base_layer.", "")])


def test_same_seed_same_steps() -> None:
    runs = []
    for _ in range(2):
        unlearner = loop(adapted(tiny_neo(), NEO_TARGETS, rank=2, start="gaussian"))
        runs.append([unlearner.step().seen for _ in range(4)])
    assert runs[0] == runs[1]


def test_a_loss_that_is_not_finite_leaves_the_last_good_state() -> None:
    model = tiny_neo()
    unlearner = loop(model)
    unlearner.step()
    good = copy.deepcopy(model.state_dict())
    handle = model.lm_head.register_forward_hook(lambda module, args, out: out * float("nan"))
    with pytest.raises(Diverged, match="not finite at step 2"):
        unlearner.step()
    handle.remove()
    assert all(torch.equal(value, good[name]) for name, value in model.state_dict().items())
    assert unlearner.taken == 1


def test_empty_sets_are_refused() -> None:
    with pytest.raises(ValueError, match="questions to forget"):
        Unlearner(tiny_neo(), Questions([], rows(3)), Settings(), pad=0, seed=0)
    with pytest.raises(ValueError, match="no trainable parameter"):
        Unlearner(tiny_neo().requires_grad_(False), Questions(rows(2), rows(2)), Settings(), pad=0, seed=0)
