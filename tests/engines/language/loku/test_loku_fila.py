"""FILA: the best weighted low-rank factors, and a model whose function does not change."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from loku_models import GPT2_TARGETS, NEO_TARGETS, adapted, rows, tiny_gpt2, tiny_neo

from engines.language.loku.method import Epsilons, FisherMeter, fila_init, weighted_factors
from engines.language.prompts import collate


def fishers(model, targets):
    found = []
    for seed in (1, 2):
        meter = FisherMeter(model, targets)
        meter.add(collate(rows(5, seed), 0))
        found.append(meter.values())
    return found


def weighted(rho: torch.Tensor, matrix: torch.Tensor) -> float:
    return float((rho[:, None] * matrix).square().sum())


@pytest.fixture
def problem():
    draw = torch.Generator().manual_seed(3)
    return torch.randn(10, 7, generator=draw), torch.rand(10, generator=draw) * 5 + 0.05, draw


def test_the_residual_is_the_tail_of_the_spectrum_and_nothing_does_better(problem) -> None:
    weight, rho, draw = problem
    scaling, rank = 2.0, 3
    found = weighted_factors(weight, rho, rank, scaling)
    residual = weighted(rho, weight - scaling * found.b @ found.a)
    sigma = torch.linalg.svdvals(rho[:, None] * weight)
    assert residual == pytest.approx(float(sigma[rank:].square().sum()), rel=1e-4)
    torch.testing.assert_close(found.singular, sigma, rtol=1e-5, atol=1e-5)
    for _ in range(20):
        b = torch.randn(10, rank, generator=draw)
        a, *_ = torch.linalg.lstsq(scaling * rho[:, None] * b, rho[:, None] * weight)  # the best A for this B
        assert weighted(rho, weight - scaling * b @ a) > residual
    for _ in range(20):
        nearby = found.b + 0.05 * torch.randn(found.b.shape, generator=draw)
        assert weighted(rho, weight - scaling * nearby @ found.a) > residual


def test_equal_rows_give_the_truncated_svd_that_pissa_uses(problem) -> None:
    weight, _, _ = problem
    found = weighted_factors(weight, torch.ones(10), 3, 2.0)
    u, s, vh = torch.linalg.svd(weight, full_matrices=False)
    torch.testing.assert_close(2.0 * found.b @ found.a, (u[:, :3] * s[:3]) @ vh[:3], atol=1e-5, rtol=1e-4)


def test_full_rank_takes_everything(problem) -> None:
    weight, rho, _ = problem
    found = weighted_factors(weight, rho, 7, 2.0)
    assert (weight - 2.0 * found.b @ found.a).abs().max() < 1e-4


def test_the_randomised_svd_is_close_and_follows_its_seed() -> None:
    draw = torch.Generator().manual_seed(5)
    u, v = torch.randn(60, 60, generator=draw), torch.randn(40, 60, generator=draw)
    weight = (u * torch.logspace(0, -4, 60)) @ v.T
    rho = torch.rand(60, generator=draw) + 0.5
    exact = weighted_factors(weight, rho, 6, 2.0, svd="exact")
    first, again = (
        weighted_factors(weight, rho, 6, 2.0, svd="randomised", generator=torch.Generator().manual_seed(0))
        for _ in range(2)
    )
    assert torch.equal(first.a, again.a)
    torch.testing.assert_close(first.singular, exact.singular[:6], rtol=1e-3, atol=1e-3)
    best, mine = (weighted(rho, weight - 2 * f.b @ f.a) for f in (exact, first))
    assert mine == pytest.approx(best, rel=1e-3)


def test_rank_out_of_range(problem) -> None:
    weight, rho, _ = problem
    with pytest.raises(ValueError, match="rank must be from 1 to 7"):
        weighted_factors(weight, rho, 8, 2.0)


@pytest.mark.parametrize(("make", "targets"), [(tiny_neo, NEO_TARGETS), (tiny_gpt2, GPT2_TARGETS)])
@pytest.mark.parametrize("eps", [Epsilons.RELATIVE, Epsilons.OFFICIAL])
def test_the_function_of_the_model_is_preserved(make, targets, eps: Epsilons) -> None:
    model, batch = make(), collate(rows(6, 9), 0)
    forget, retain = fishers(model, targets)
    before = model(**batch.inputs()).logits.detach()
    originals = {n: p.detach().clone() for n, p in model.named_parameters()}
    peft_model = adapted(model, targets, rank=4)
    reports = fila_init(peft_model, forget, retain, eps=eps, spectra=True)
    after = peft_model(**batch.inputs()).logits
    assert (before - after).abs().max() < 1e-3
    assert {report.name for report in reports} == set(forget)
    for report in reports:
        assert report.rho.shape[0] == forget[report.name].shape[0]
        assert 0 < report.plain_share <= 1
        assert 0 < report.share <= 1 + 1e-5
    changed = [
        n for n, p in peft_model.get_base_model().named_parameters()
        if "base_layer.weight" in n and not torch.equal(p, originals[n.replace("base_layer.", "")])
    ]  # fmt: skip
    assert len(changed) == len(forget), "the base holds what is left, not the original weights"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        merged = peft_model.merge_and_unload()
    torch.testing.assert_close(merged(**batch.inputs()).logits, before, atol=1e-4, rtol=1e-4)
    for name, original in originals.items():  # W* + s B A = W
        torch.testing.assert_close(dict(merged.named_parameters())[name], original, atol=1e-5, rtol=1e-4)


def test_equal_importance_is_peft_s_own_pissa() -> None:
    model = tiny_neo()
    ones = {n: torch.ones_like(f) for n, f in fishers(model, NEO_TARGETS)[0].items()}
    pissa = adapted(copy.deepcopy(model), NEO_TARGETS, rank=4, start="pissa")
    fila = adapted(model, NEO_TARGETS, rank=4)
    fila_init(fila, ones, ones)
    bases = [dict(m.get_base_model().named_parameters()) for m in (pissa, fila)]
    for name in bases[0]:
        if "base_layer.weight" in name:
            torch.testing.assert_close(bases[0][name], bases[1][name], atol=1e-5, rtol=1e-3)


def test_the_same_generator_the_same_start() -> None:
    starts = []
    for _ in range(2):
        model = tiny_neo()
        forget, retain = fishers(model, ("c_fc",))
        peft_model = adapted(model, ("c_fc",), rank=3)
        fila_init(peft_model, forget, retain, svd="randomised", generator=torch.Generator().manual_seed(4))
        starts.append([p.detach().clone() for n, p in peft_model.named_parameters() if "lora_" in n])
    assert all(torch.equal(one, other) for one, other in zip(*starts, strict=True))


def test_refusals_leave_the_model_alone() -> None:
    model = tiny_neo()
    forget, retain = fishers(model, ("c_fc", "c_proj"))
    peft_model = adapted(model, ("c_fc", "c_proj"), rank=4)
    before = [p.detach().clone() for p in peft_model.parameters()]
    missing = dict(list(forget.items())[:-1])
    with pytest.raises(ValueError, match="fisher_forget has no values for layer"):
        fila_init(peft_model, missing, retain)
    with pytest.raises(ValueError, match="must be"):
        fila_init(peft_model, {n: f.T for n, f in forget.items()}, retain)
    with pytest.raises(ValueError, match="no LoRA layer"):
        fila_init(tiny_neo(), forget, retain)
    assert all(torch.equal(one, other) for one, other in zip(before, peft_model.parameters(), strict=True))
    high = adapted(tiny_neo(), ("c_fc",), rank=17)
    with pytest.raises(ValueError, match="rank must be at most 16"):
        fila_init(high, forget, retain)
