"""Rollouts, verifiers, the embedded policy and its training script."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from engines.contract import Refusal
from engines.language import char_policy, rl_models, rl_rollouts, verifiers
from engines.language.per_sample_norms_proxies import head_errors, head_groups, head_norm, logit_proxy


def policy():
    return rl_models.load(char_policy.EMBEDDED, "cpu")


def test_sampling_with_the_cache_equals_recomputing() -> None:
    p = policy()
    prompts = ["07+15=", "3=", "19+19="]
    out = rl_rollouts.sample(
        p.model, p.tokenizer, prompts, max_new_tokens=4, greedy=True, generator=torch.Generator()
    )
    for prompt, response in zip(prompts, out.responses, strict=True):
        text = prompt
        for _ in range(4):
            ids = p.tokenizer(text, return_tensors="pt")["input_ids"]
            text += char_policy.ALPHABET[int(p.model(ids).logits[0, -1].argmax())]
            if text.endswith(char_policy.END):
                break
        assert text.rstrip(char_policy.END) == prompt + response


def test_samples_follow_the_policy() -> None:
    p = policy()
    ids = p.tokenizer("07+15=", return_tensors="pt")["input_ids"]
    chances = p.model(ids).logits[0, -1].softmax(0)
    out = rl_rollouts.sample(
        p.model, p.tokenizer, ["07+15="] * 4000, max_new_tokens=1, generator=torch.Generator().manual_seed(0)
    )
    counts = torch.bincount(out.ids[:, -1], minlength=14) / 4000
    assert (counts - chances).abs().max() < 0.03
    assert out.lengths.max() == 1


def test_log_probabilities_do_not_depend_on_padding() -> None:
    p = policy()
    alone = rl_rollouts.sample(
        p.model, p.tokenizer, ["3="], max_new_tokens=3, greedy=True, generator=torch.Generator()
    )
    padded = rl_rollouts.sample(
        p.model, p.tokenizer, ["3=", "07+15="], max_new_tokens=3, greedy=True, generator=torch.Generator()
    )
    sums = []
    for rollout in (alone, padded):
        tokens, _ = rl_rollouts.token_log_probs(p.model, rollout)
        sums.append((tokens * rollout.response[:, 1:]).sum(1)[0])
    torch.testing.assert_close(sums[0], sums[1], rtol=1e-5, atol=1e-5)


def test_group_gradients_of_the_head_against_autograd() -> None:
    generator = torch.Generator().manual_seed(1)
    hidden, head = torch.randn(6, 4, 5, generator=generator), torch.nn.Linear(5, 7, bias=False)
    chosen, mask = torch.randint(7, (6, 4), generator=generator), torch.ones(6, 4)
    mask[2, 1:] = 0
    weights = torch.randn(6, generator=generator)
    logits = head(hidden)
    rows = (logits.log_softmax(2).gather(2, chosen[:, :, None]).squeeze(2) * mask).sum(1) * weights
    found = head_groups(head_errors(logits.detach(), chosen, mask), hidden, weights, 3)
    for group in range(3):
        (expected,) = torch.autograd.grad(
            rows[2 * group : 2 * group + 2].sum(), [head.weight], retain_graph=True
        )
        torch.testing.assert_close(found[group], expected, rtol=1e-5, atol=1e-6)


def test_proxies_against_autograd() -> None:
    generator = torch.Generator().manual_seed(0)
    hidden, head = torch.randn(3, 4, 5, generator=generator), torch.nn.Linear(5, 7, bias=False)
    chosen, mask = torch.randint(7, (3, 4), generator=generator), torch.ones(3, 4)
    mask[1, 2:] = 0
    logits = head(hidden).detach()
    for b in range(3):
        logits_b = head(hidden[b]).requires_grad_()
        picked = (logits_b.log_softmax(1).gather(1, chosen[b, :, None]).squeeze(1) * mask[b]).sum()
        by_weight, by_logit = torch.autograd.grad(picked, [head.weight, logits_b])
        assert float(head_norm(head_errors(logits, chosen, mask), hidden)[b]) == pytest.approx(
            float(by_weight.square().sum()), rel=1e-5
        )
        assert float(logit_proxy(logits, chosen, mask)[b]) == pytest.approx(
            float(by_logit.square().sum()), rel=1e-5
        )


def test_built_in_rewards() -> None:
    assert verifiers.exact_match("07+15=", "22", "22") == 1
    assert verifiers.exact_match("07+15=", "022", "22") == 0
    assert verifiers.numeric_match("", "so it is 1,234.0", "1234") == 1
    assert verifiers.numeric_match("", "no idea", "3") == 0


def test_rewards_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_reward_module.py").write_text(
        "value = 3\n"
        "def good(prompt, response, answer):\n    return None if response == '' else len(response)\n"
        "def bad(prompt, response, answer):\n    raise KeyError('lost')\n"
        "def endless(prompt, response, answer):\n    return float('inf')\n"
    )
    (tmp_path / "my_broken_module.py").write_text("import no_such_thing_at_all\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    good = verifiers.load_reward("my_reward_module:good")
    assert good("p", "abc", "a") == 3.0
    assert good("p", "", "a") is None
    for name, words in {
        "my_reward_module:none_such": "has no none_such",
        "my_reward_module:value": "is no function",
        "my_broken_module:f": "importing my_broken_module failed",
    }.items():
        with pytest.raises(Refusal, match=words):
            verifiers.load_reward(name)
    with pytest.raises(Refusal, match="KeyError"):
        verifiers.load_reward("my_reward_module:bad")("p", "r", "a")
    with pytest.raises(Refusal, match="finite"):
        verifiers.load_reward("my_reward_module:endless")("p", "r", "a")
    sys.modules.pop("my_reward_module", None)


def test_checking_a_reward_runs_none_of_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loud_module.py").write_text("raise SystemExit('ran')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    verifiers.check_reward("loud_module:f", "reward")
    assert "loud_module" not in sys.modules


def test_weights_are_small_and_as_good_as_the_card_says() -> None:
    import json

    from engines.language.training.char_policy import quality

    assert sum(f.stat().st_size for f in char_policy.FOLDER.iterdir()) < 1_000_000
    stored = json.loads((char_policy.FOLDER / "quality.json").read_text())
    assert quality(policy().model) == pytest.approx(stored, abs=0.02)


def test_training_goes_on_where_it_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from engines.language.training import char_policy as script

    whole, halves = tmp_path / "whole", tmp_path / "halves"
    whole.mkdir(), halves.mkdir()
    script.train(4, whole, save_every=100)
    reference = script.train(4, whole, save_every=100).state_dict()
    script.train(4, halves, save_every=2, stop_at=2)
    resumed = script.train(4, halves, save_every=2).state_dict()
    assert all(torch.equal(reference[name], resumed[name]) for name in reference)
    assert "step 2" in capsys.readouterr().out
