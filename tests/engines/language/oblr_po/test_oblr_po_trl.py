"""OBLRTrainer on a tiny random model for a few steps; skipped where TRL is not installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("trl", reason="the extra `trl` is not installed")

from datasets import Dataset
from transformers import TrainerCallback

from engines.language import char_policy
from engines.language.oblr_po.method import estimators

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(  # TRL 1.16 asks transformers 5 by the old name
        "ignore:`(is_)?gradient_checkpointing:FutureWarning"
    ),
]
PROMPTS = [p.prompt for p in char_policy.split_problems()[0][:16]]


def reward(completions, **_):
    return [float(text.count("1")) - 0.1 * len(text) for text in completions]


class Watch(TrainerCallback):
    """Learning rates that the scheduler shows and those that the optimizer used."""

    def __init__(self) -> None:
        self.shown: list[float] = []

    def on_step_end(self, args, state, control, optimizer=None, **_):
        self.shown.append(optimizer.param_groups[0]["lr"])


def make(tmp_path: Path, reward_func=reward, **settings):
    from engines.language.oblr_po import OBLRConfig, OBLRTrainer

    config = OBLRConfig(
        output_dir=str(tmp_path), num_generations=4, max_completion_length=4, learning_rate=1e-3, logging_steps=1,
        report_to=[], use_cpu=True, bf16=False, gradient_checkpointing=False, save_strategy="no", disable_tqdm=True,
        lr_scheduler_type="constant", seed=0,
        **{"per_device_train_batch_size": 8, "gradient_accumulation_steps": 2, "max_steps": 3, **settings},
    )  # fmt: skip
    return OBLRTrainer(
        model=char_policy.build_model(), reward_funcs=reward_func, args=config,
        train_dataset=Dataset.from_dict({"prompt": PROMPTS}), processing_class=char_policy.build_tokenizer(), callbacks=[Watch()],
    )  # fmt: skip


@pytest.mark.parametrize("settings", [
    {}, {"oblr_weights": "logit", "oblr_snr": "microbatch"}, {"oblr_weights": "head", "oblr_shrink": 0.5}, {"oblr_weights": "length"},
])  # fmt: skip
def test_trains_and_logs(tmp_path: Path, settings) -> None:
    trainer = make(tmp_path, **settings)
    before = torch.cat([p.detach().flatten().clone() for p in trainer.model.parameters()])
    trainer.train()
    after = torch.cat([p.detach().flatten() for p in trainer.model.parameters()])
    assert not torch.equal(before, after)
    logged = [entry for entry in trainer.state.log_history if "oblr/rho" in entry]
    assert len(logged) == 3
    for entry in logged:
        assert 0.1 <= entry["oblr/rho"] <= 1
        assert entry["oblr/lr"] == pytest.approx(1e-3 * entry["oblr/rho"])
        assert entry["oblr/grad_var"] >= 0
    watch = next(c for c in trainer.callback_handler.callbacks if isinstance(c, Watch))
    assert watch.shown == [1e-3] * 3


def test_advantages_are_those_of_the_method_and_groups_stay_whole(tmp_path: Path) -> None:
    trainer = make(tmp_path, max_steps=1)
    seen = []
    prepare = trainer._prepare_inputs

    def watched(batch):
        seen.append(dict(prepare(batch)))
        return seen[-1]

    trainer._prepare_inputs = watched
    trainer.train()
    assert [part["oblr_row"].tolist() for part in seen] == [list(range(8)), list(range(8, 16))]
    ids = torch.cat([part["prompt_ids"] for part in seen])
    assert all((ids[i : i + 4] == ids[i]).all() for i in range(0, 16, 4))


def test_constant_weights_give_trls_rloo_advantages(tmp_path: Path) -> None:
    """The advantages of TRL's own RLOOTrainer on its own rollouts, against ours."""
    from trl import RLOOConfig, RLOOTrainer

    seen = {}

    class Seeing(RLOOTrainer):
        def _calculate_rewards(self, *args, **kwargs):
            seen["rewards"] = super()._calculate_rewards(*args, **kwargs)
            return seen["rewards"]

        def _generate_and_score_completions(self, inputs):
            batch = super()._generate_and_score_completions(inputs)
            seen["advantages"] = batch["advantages"]
            return batch

    config = RLOOConfig(
        output_dir=str(tmp_path), num_generations=4, max_completion_length=4, max_steps=1, report_to=[], use_cpu=True, bf16=False,
        gradient_checkpointing=False, save_strategy="no", disable_tqdm=True, beta=0.0, per_device_train_batch_size=8,
        gradient_accumulation_steps=2, seed=0,
    )  # fmt: skip
    Seeing(
        model=char_policy.build_model(), reward_funcs=reward, args=config,
        train_dataset=Dataset.from_dict({"prompt": PROMPTS}), processing_class=char_policy.build_tokenizer(),
    ).train()  # fmt: skip
    rewards = seen["rewards"].double().numpy().reshape(4, 4)
    np.testing.assert_allclose(estimators.rloo(rewards).ravel(), seen["advantages"].numpy(), atol=1e-6)
    centred = torch.tensor((rewards - rewards.mean(1, keepdims=True)).ravel())
    ours = make(tmp_path / "ours", max_steps=1)._advantages(centred, np.ones(16))
    np.testing.assert_allclose(ours.numpy(), seen["advantages"].numpy(), atol=1e-6)


def test_unscorable_completions_do_not_count(tmp_path: Path) -> None:
    trainer = make(
        tmp_path,
        reward_func=lambda completions, **_: [None if i == 0 else float(i) for i in range(len(completions))],
        max_steps=1,
    )
    trainer.train()
    assert trainer._unscored is not None
    assert trainer._unscored[0]


@pytest.mark.parametrize("settings", [
    {"oblr_weights": "guess"}, {"num_iterations": 2}, {"scale_rewards": "group"}, {"oblr_snr": "microbatch", "gradient_accumulation_steps": 1},
    {"oblr_snr": "microbatch", "per_device_train_batch_size": 2, "gradient_accumulation_steps": 4},
])  # fmt: skip
def test_settings_against_the_theory_are_refused(tmp_path: Path, settings) -> None:
    with pytest.raises(ValueError, match=r"OBLRConfig|oblr_snr"):
        make(tmp_path, **settings)
