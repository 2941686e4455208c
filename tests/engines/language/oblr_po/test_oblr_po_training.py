"""The trainer, the audit and the engine on the embedded policy: determinism, exactness, refusals, commands."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engines.contract import Context, Refusal
from engines.devices import torch_generator
from engines.events import Alert, ClaimCheck, Command, Scalar, Table, Text
from engines.language import char_policy, loading, rl_models, rl_rollouts
from engines.language.oblr_po import ENGINE
from engines.language.oblr_po.audit import draw_population, estimate_all
from engines.language.oblr_po.method import variance
from engines.language.oblr_po.training import Settings, Trainer
from engines.language.per_sample_norms_proxies import correlation
from engines.language.verifiers import exact_match
from engines.validation import Refused, validate

TRAIN, HELD_OUT = char_policy.split_problems()


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trainer(**settings) -> Trainer:
    return Trainer(rl_models.load(char_policy.EMBEDDED, "cpu"), exact_match, Settings(**settings))


def parameters(t: Trainer) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in t.policy.model.parameters()])


def test_held_out_problems_are_apart() -> None:
    assert (len(TRAIN), len(HELD_OUT)) == (300, 100)
    assert not set(TRAIN) & set(HELD_OUT)


@pytest.mark.parametrize(
    "estimator",
    [
        "optimal",
        "optimal in-group",
        "RLOO",
        "GRPO",
        "batch mean",
        "ReMax",
        "OPO",
        "REINFORCE++",
        "shrinkage",
        "group mean",
        "none",
    ],
)
def test_gradient_equals_autograd_of_the_weighted_loss(estimator: str) -> None:
    t = trainer(estimator=estimator, adaptive=False, optimizer="sgd", rate=1e-2)
    before, start = parameters(t), rl_models.load(char_policy.EMBEDDED, "cpu").model
    info = t.step(TRAIN[:4], 8, torch_generator(0, "x"))
    tokens, _ = rl_rollouts.token_log_probs(start, info.rollout)
    rows = (tokens * info.rollout.response[:, 1:]).sum(1)
    loss = -(torch.as_tensor(info.advantages.ravel()).float() * rows).sum() / 32
    loss.backward()
    gradient = torch.cat([p.grad.flatten() for p in start.parameters()])
    torch.testing.assert_close(parameters(t) - before, -1e-2 * gradient, rtol=1e-3, atol=2e-7)


def test_chunks_of_groups_give_the_same_step() -> None:
    whole, parts = trainer(rate=1e-2), trainer(rate=1e-2, rows_at_once=16)
    a, b = (t.step(TRAIN[:6], 8, torch_generator(0, "x")) for t in (whole, parts))
    np.testing.assert_allclose(a.weights, b.weights, rtol=1e-4)
    assert a.measured.variance == pytest.approx(b.measured.variance, rel=1e-4)
    assert a.measured.square == pytest.approx(b.measured.square, rel=1e-4)


def test_same_seed_same_steps() -> None:
    first, second = trainer(), trainer()
    for t in (first, second):
        for step in range(3):
            t.step(TRAIN[step : step + 4], 4, torch_generator(1, "rollout", step))
    assert torch.equal(parameters(first), parameters(second))


def test_no_signal_moves_nothing() -> None:
    t = Trainer(rl_models.load(char_policy.EMBEDDED, "cpu"), lambda p, r, a: 1.0, Settings())
    before = parameters(t)
    info = t.step(TRAIN[:3], 4, torch_generator(0, "x"))
    unanswered = ~info.rollout.ended
    if not unanswered.any():
        assert torch.equal(parameters(t), before)
        assert info.silent_groups == 1.0
        assert t.state.count == 0


@pytest.mark.parametrize("source", ["head", "logit", "length"])
def test_stand_ins_report_their_correlation(source: str) -> None:
    exact = trainer(estimator="optimal").step(TRAIN[:4], 16, torch_generator(0, "x"))
    info = trainer(estimator="optimal", weights=source).step(TRAIN[:4], 16, torch_generator(0, "x"))
    assert info.proxy == pytest.approx(correlation(info.weights, exact.weights), abs=1e-4)


def test_the_head_alone_moves_the_parameters_as_the_whole_gradient_does() -> None:
    """Weights and signal-to-noise ratio come from the head; the step itself is the whole gradient's."""
    made = {
        source: trainer(estimator="RLOO", weights=source, adaptive=False, rate=1.0, optimizer="sgd")
        for source in ("exact", "head")
    }
    infos = {source: t.step(TRAIN[:4], 8, torch_generator(0, "x")) for source, t in made.items()}
    assert np.array_equal(infos["exact"].rewards, infos["head"].rewards)
    torch.testing.assert_close(parameters(made["head"]), parameters(made["exact"]), rtol=1e-4, atol=1e-6)
    assert 0 < infos["head"].measured.square < infos["exact"].measured.square


def test_shaping_pulls_towards_the_initial_policy() -> None:
    t = trainer(kl=0.1, entropy=0.05)
    first = t.step(TRAIN[:3], 4, torch_generator(0, "x"))
    assert np.isfinite(first.advantages).all()
    assert t.step(TRAIN[:3], 4, torch_generator(0, "y")).rate > 0


def test_adapters_train_and_the_model_stays() -> None:
    policy = rl_models.load(char_policy.EMBEDDED, "cpu", lora_rank=2)
    frozen = {n: p.detach().clone() for n, p in policy.model.named_parameters() if not p.requires_grad}
    t = Trainer(policy, exact_match, Settings(kl=0.01, rate=1e-3))
    info = t.step(TRAIN[:4], 8, torch_generator(0, "x"))
    assert policy.trainable < 20_000
    assert info.weights.min() >= 0
    assert all(torch.equal(frozen[n], p) for n, p in policy.model.named_parameters() if n in frozen)


def test_audit_agrees_with_the_exact_formulas() -> None:
    policy = rl_models.load(char_policy.EMBEDDED, "cpu")
    population = draw_population(policy, exact_match, TRAIN[:6], 16, 4, torch_generator(0, "x"))
    found = estimate_all(population, 8, 1500, np.random.default_rng(0))
    exact = variance.rloo_variance(population.moments(), 8, 6)
    assert abs(found["RLOO"].variance - exact) < 2 * found["RLOO"].half_width
    assert found["group mean"].variance == pytest.approx((7 / 8) ** 2 * found["RLOO"].variance, rel=0.02)
    assert found["oracle b*"].variance <= found["oracle mean"].variance
    assert found["OB"].ratio_low < found["OB"].ratio < found["OB"].ratio_high


def run_engine(values, seed: int = 0, command_at: str = ""):
    params = validate(ENGINE.params, values)
    run, events = ENGINE.run(params, Context("cpu", seed, Path("."))), []
    event, sent = next(run), False
    while True:
        events.append(event)
        send = None
        if command_at and not sent and isinstance(event, Scalar) and event.name == command_at:
            send, sent = Command("do", "audit"), True
        try:
            event = run.send(send)
        except StopIteration:
            return events


def comparable(events):
    kept = [e for e in events if not (isinstance(e, Scalar) and e.is_timing)]
    return [(type(e).__name__, repr(e)) for e in kept]


def test_smoke_gives_every_claim_and_the_same_events_twice() -> None:
    first, second = run_engine(ENGINE.preset("smoke")), run_engine(ENGINE.preset("smoke"))
    assert comparable(first) == comparable(second)
    assert {e.key for e in first if isinstance(e, ClaimCheck)} == {c.key for c in ENGINE.claims}
    assert {"Rollouts", "Variance audit", "Where they ended"} <= {
        e.name for e in first if isinstance(e, Table)
    }


def test_audit_now_during_training() -> None:
    values = {**ENGINE.preset("smoke"), "experiment": "training", "audits": 0}
    assert not any(isinstance(e, Text) and e.name == "what the audit says" for e in run_engine(values))
    assert any(
        isinstance(e, Text) and e.name == "what the audit says" for e in run_engine(values, command_at="SNR")
    )


def test_closing_the_run_gives_the_threads_back() -> None:
    torch.set_num_threads(2)
    run = ENGINE.run(
        validate(ENGINE.params, {**ENGINE.preset("smoke"), "experiment": "training"}),
        Context("cpu", 0, Path(".")),
    )
    for _ in range(40):
        next(run)
    run.close()
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)


def test_small_groups_are_warned_of() -> None:
    assert any(isinstance(e, Alert) and e.name == "small groups" for e in run_engine(ENGINE.preset("smoke")))


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"group": 1}, "group", "Use reinforce"),
        ({"prompts": 1}, "prompts", "at least 2"),
        ({"arms": ("matched", "rloo")}, "arms", "add it"),
        ({"arms": ("rloo", "rloo")}, "arms", "once"),
        ({"arms": ("shrinkage",), "prompts": 2}, "prompts", "at least 3"),
        ({"max_new_tokens": 64}, "max_new_tokens", "at most 8"),
        ({"steps": 0}, "steps", "from 1 to 2000"),
    ],
)
def test_combinations_are_refused_in_words(values, field: str, words: str) -> None:
    with pytest.raises(Refused) as caught:
        validate(ENGINE.params, values)
    assert caught.value.errors[0].field == field
    assert words in caught.value.errors[0].sentence


def test_check_names_what_is_wrong(tmp_path: Path) -> None:
    good = validate(ENGINE.params, {})
    for change, words in (
        ({"model": "no such model!"}, "hub id"),
        ({"reward": "nonsense"}, "module:function"),
        ({"reward": "no_such_module_here:f"}, "does not find"),
    ):
        with pytest.raises(Refusal, match=words):
            ENGINE.check(good.model_copy(update=change), {})
    (tmp_path / "folder").mkdir()
    with pytest.raises(Refusal, match=r"config\.json"):
        ENGINE.check(good.model_copy(update={"model": str(tmp_path / "folder")}), {})
    file = tmp_path / "p.jsonl"
    for text, words in (
        ("{", "line 1 is not JSON"),
        ('{"prompt": "a"}', "needs an"),
        ("\n".join(['{"prompt": "a+", "answer": 1}'] * 6), "'a'"),
    ):
        file.write_text(text)
        with pytest.raises(Refusal, match=words):
            ENGINE.check(good, {"problems": file})


def test_own_problems_and_a_local_model_folder(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text("\n".join(json.dumps({"prompt": p.prompt, "answer": p.answer}) for p in TRAIN[:20]))
    values = {"model": str(char_policy.FOLDER), "problems": "", "reward": "exact", "steps": 1, "prompts": 2, "group": 4, "audits": 0,
              "arms": ("oblr_po", "remax"), "rates": "one"}  # fmt: skip
    params = validate(ENGINE.params, values)
    events = list(ENGINE.run(params, Context("cpu", 0, tmp_path, {"problems": file})))
    assert any(isinstance(e, Scalar) and e.name == "greedy held-out accuracy" for e in events)


def test_a_model_that_cannot_be_had_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    def absent(*_args, **_kwargs):
        raise OSError("no connection")

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", absent)
    monkeypatch.setattr(loading, "ask_the_hub_once", lambda reference: None)
    params = validate(ENGINE.params, ENGINE.preset("paper"))
    ENGINE.check(params, {})
    with pytest.raises(Refusal, match="could not be loaded by transformers") as caught:
        list(ENGINE.run(params, Context("cpu", 0, tmp_path)))
    assert caught.value.field == "model"


def test_settings_are_the_specifications_defaults() -> None:
    assert replace(Settings(), rate=1.0).floor == 0.1
    assert (Settings().beta, Settings().start, Settings().shrink) == (0.9, 0.25, 0.0)
