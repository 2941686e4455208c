"""OBLR-PO for people who already run TRL: `OBLRTrainer` in the place of `GRPOTrainer`.

    from engines.language.oblr_po import OBLRConfig, OBLRTrainer
    OBLRTrainer(model, reward_funcs=..., args=OBLRConfig(output_dir=..., num_generations=16), train_dataset=...).train()

Needs the extra `trl` (written against TRL 1.16). Three extension points are used and nothing is patched:
`_generate_and_score_completions` (advantages), `_prepare_inputs` (groups kept together), and a callback around the
optimizer step (learning rate). The optimal baseline is shift invariant, so TRL's group-centred advantages serve as
rewards. Metrics under `oblr/`: snr, rho, lr, grad_var, grad_sq, baseline_gap, weight_cv, proxy_corr, frac_zero_adv.

For the theory to hold the config's own defaults are: no KL, one optimizer step a batch, no scaling by the group's
spread, no normalisation by length, no clipping of the gradient. One process, or data-parallel processes with SNR from
micro-batches; sharded parameters (FSDP, ZeRO 3) are refused, since the norms need whole weights.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from engines.language import rl_rollouts
from engines.language.oblr_po.method import estimators, snr
from engines.language.per_sample_norms import record, squared_length
from engines.language.per_sample_norms_proxies import (
    correlation,
    head_errors,
    head_input,
    head_norm,
    logit_proxy,
)

CHECKED_ROWS = 16
"""Rows of the first batch on which a stand-in is compared with the exact norm."""


@dataclass
class OBLRConfig(GRPOConfig):
    """GRPO's arguments with the defaults that the theory wants, and OBLR-PO's own (prefix `oblr_`)."""

    scale_rewards: Any = field(
        default="none", metadata={"help": "Must stay none: advantages serve as rewards."}
    )
    beta: float = field(default=0.0, metadata={"help": "KL coefficient; the theory is for 0."})
    loss_type: str = field(
        default="dr_grpo", metadata={"help": "No normalisation by the response's own length."}
    )
    max_grad_norm: float = field(
        default=0.0, metadata={"help": "0: no clipping, which would change the step size."}
    )
    oblr_weights: str = field(default="exact", metadata={"help": "exact, head, logit or length."})
    oblr_shrink: float = field(default=0.0, metadata={"help": "Draws baselines to the batch mean, 0 to 1."})
    oblr_adaptive: bool = field(default=True, metadata={"help": "Multiply the learning rate by rho."})
    oblr_snr: str = field(default="exact", metadata={"help": "exact (group norms) or microbatch."})
    oblr_beta: float = field(default=0.9, metadata={"help": "Memory of the running means."})
    oblr_floor: float = field(default=0.1, metadata={"help": "Smallest share of the learning rate."})
    oblr_start: float = field(default=0.25, metadata={"help": "Share assumed before the first batch."})
    oblr_coordinates: int = field(
        default=1_000_000, metadata={"help": "Coordinates kept for micro-batch SNR."}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        rules = {
            "oblr_weights": self.oblr_weights in ("exact", "head", "logit", "length"),
            "oblr_snr": self.oblr_snr in ("exact", "microbatch"),
            "oblr_shrink": 0 <= self.oblr_shrink <= 1,
            "oblr_beta": 0 <= self.oblr_beta < 1,
            "oblr_floor": 0 <= self.oblr_floor <= 1,
            "num_iterations (must be 1: on-policy)": self.num_iterations == 1,
            "scale_rewards (must be none)": self.scale_rewards in ("none", False),
        }
        wrong = [name for name, fine in rules.items() if not fine]
        if wrong:
            raise ValueError(f"OBLRConfig: {wrong[0]} has no allowed value.")


class OBLRTrainer(GRPOTrainer):
    """GRPOTrainer with the variance-optimal baseline and the learning rate from the gradient's SNR."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            raise ValueError(
                "OBLRTrainer needs whole weights on each process; FSDP and DeepSpeed are not supported."
            )
        several = self.accelerator.num_processes > 1
        if several and self.args.oblr_snr == "exact":
            raise ValueError(
                "With several processes set oblr_snr='microbatch': exact group norms are local to one."
            )
        if self.args.oblr_snr == "microbatch" and self.args.gradient_accumulation_steps < 2:
            raise ValueError("oblr_snr='microbatch' needs gradient_accumulation_steps of at least 2; got 1.")
        if self.args.oblr_snr == "microbatch" and (
            self.args.per_device_train_batch_size * self.accelerator.num_processes % self.num_generations
        ):
            raise ValueError(
                "oblr_snr='microbatch' needs whole groups in a micro-batch: make per_device_train_batch_size "
                "times processes a multiple of num_generations."
            )
        self.oblr_state = snr.SnrState()
        self._unscored: Tensor | None = None
        self._micro = _MicroBatches(self.args.oblr_coordinates)
        self._proxy = float("nan")
        self.add_callback(_ScaledRate(self))

    def _calculate_rewards(self, inputs: Any, *args: Any, **kwargs: Any) -> Tensor:
        rewards = super()._calculate_rewards(inputs, *args, **kwargs)
        self._unscored = torch.isnan(rewards).all(dim=1)
        return rewards

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        """TRL's batch with the advantages replaced, and the rows numbered so that groups can be kept together."""
        training = self.model.training
        batch = super()._generate_and_score_completions(inputs)
        if not training:
            return batch
        rollout = _rollout(batch)
        with _evaluation_mode(self.accelerator.unwrap_model(self.model)) as model:
            weights, gradient = self._weights_and_gradient(model, rollout, batch["advantages"])
        batch["advantages"] = gradient.advantages.to(batch["advantages"])
        if gradient.measured is not None:
            self._observe(gradient.measured)
        batch["oblr_row"] = torch.arange(len(batch["advantages"]), device=batch["advantages"].device)
        self._note(weights, gradient)
        return batch

    def _weights_and_gradient(
        self, model: nn.Module, rollout: rl_rollouts.Rollout, centred: Tensor
    ) -> tuple[np.ndarray, _Gradient]:
        """(local weights (B,), advantages and, with exact SNR, what the groups' gradients say)."""
        exact_snr, source = self.args.oblr_snr == "exact", self.args.oblr_weights
        group, size = self.num_generations, len(centred)
        rows = max(1, self.args.per_device_train_batch_size // group) * group
        weights = np.zeros(size)
        for start in range(0, size, rows):
            weights[start : start + rows] = self._weights(
                model, rollout.rows(start, min(start + rows, size)), source
            )
        advantages = self._advantages(centred, weights)
        if not exact_snr:
            return weights, _Gradient(advantages, centred, None)
        total: dict[str, Tensor] = {}
        norms = []
        for start in range(0, size, rows):
            part = rollout.rows(start, min(start + rows, size))
            with record(model) as tape:
                log_probs, _, _ = self._row_log_probs(model, part)
            tape.differentiate(log_probs.sum())
            coefficients = advantages[start : start + rows].to(log_probs) / size
            combined = tape.combine(coefficients, len(coefficients) // group)
            norms.append(combined.group_squared_norms.double().cpu().numpy() * (size // group) ** 2)
            for name, gradient in combined.gradients.items():
                total[name] = total[name] + gradient if name in total else gradient
        square = squared_length(total)
        return weights, _Gradient(advantages, centred, snr.measure(np.concatenate(norms), square))

    def _row_log_probs(self, model: nn.Module, part: rl_rollouts.Rollout) -> tuple[Tensor, Tensor, Tensor]:
        tokens, logits = rl_rollouts.token_log_probs(model, part, self.temperature)
        mask = part.response[:, 1:]
        return (tokens * mask).sum(1), logits, mask

    def _weights(self, model: nn.Module, part: rl_rollouts.Rollout, source: str) -> np.ndarray:
        if source == "length":
            return part.lengths.astype(np.float64)
        if source == "exact":
            return self._exact(model, part)
        with torch.no_grad(), head_input(model, source == "head") as head:
            _, logits, mask = self._row_log_probs(model, part)
        chosen = part.ids[:, 1:]
        found = (
            head_norm(head_errors(logits, chosen, mask), head[0][:, :-1])
            if source == "head"
            else logit_proxy(logits, chosen, mask)
        )
        values = found.double().cpu().numpy()
        if np.isnan(self._proxy) and self.accelerator.num_processes == 1:
            few = part.rows(0, CHECKED_ROWS)
            self._proxy = correlation(values[:CHECKED_ROWS], self._exact(model, few))
        return values

    def _exact(self, model: nn.Module, part: rl_rollouts.Rollout) -> np.ndarray:
        with torch.enable_grad(), record(model) as tape:
            log_probs, _, _ = self._row_log_probs(model, part)
        tape.differentiate(log_probs.sum())
        return tape.squared_norms().double().cpu().numpy()

    def _advantages(self, centred: Tensor, weights: np.ndarray) -> Tensor:
        """Local advantages (B,), from the groups of the whole batch over all processes."""
        gather = self.accelerator.gather
        rewards = gather(centred.double()).cpu().numpy()
        everyone = gather(torch.as_tensor(weights, device=centred.device)).cpu().numpy()
        if self._unscored is not None:
            rewards[self._unscored.cpu().numpy()] = np.nan
        shape = (-1, self.num_generations)
        found = estimators.optimal_loo(
            rewards.reshape(shape), everyone.reshape(shape), self.args.oblr_shrink
        ).ravel()
        start = self.accelerator.process_index * len(centred)
        return torch.as_tensor(found[start : start + len(centred)], device=centred.device)

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        """TRL shuffles and splits a new batch; here its rows are put back, so that groups stay whole."""
        before = self._buffered_inputs
        inputs = super()._prepare_inputs(generation_batch)
        if self.model.training and self._buffered_inputs is not before:
            self._buffered_inputs = _in_order(self._buffered_inputs)
            inputs = self._buffered_inputs[self._step % self.args.steps_per_generation]
        return inputs

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """TRL's step; with SNR from micro-batches, the change of the kept gradient coordinates is noted."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        if self.args.oblr_snr == "microbatch":
            self._micro.note(self.model)
        return loss

    def _observe(self, measured: snr.Measured) -> None:
        self.oblr_state = snr.update(self.oblr_state, measured, self.args.oblr_beta, self.args.oblr_start)
        metrics = self._metrics["train"]
        metrics["oblr/snr"].append(self.oblr_state.snr)
        metrics["oblr/grad_var"].append(self.oblr_state.variance)
        metrics["oblr/grad_sq"].append(self.oblr_state.signal)

    def _note(self, weights: np.ndarray, gradient: _Gradient) -> None:
        metrics, advantages = self._metrics["train"], gradient.advantages.double().cpu().numpy()
        centred = gradient.centred.double().cpu().numpy()
        metrics["oblr/baseline_gap"].append(float(np.abs(centred - advantages).mean()))
        metrics["oblr/weight_cv"].append(float(weights.std() / weights.mean()) if weights.mean() > 0 else 0.0)
        metrics["oblr/frac_zero_adv"].append(float((advantages == 0).mean()))
        if np.isfinite(self._proxy):
            metrics["oblr/proxy_corr"].append(self._proxy)


@dataclass(frozen=True)
class _Gradient:
    """New advantages beside the centred rewards they came from; `measured` None with SNR from micro-batches."""

    advantages: Tensor
    centred: Tensor
    measured: snr.Measured | None


class _evaluation_mode:
    """The model without dropout for a while."""

    def __init__(self, model: nn.Module) -> None:
        self._model, self._was = model, model.training

    def __enter__(self) -> nn.Module:
        self._model.eval()
        return self._model

    def __exit__(self, *_: object) -> None:
        self._model.train(self._was)


def _rollout(batch: dict[str, Any]) -> rl_rollouts.Rollout:
    """TRL's prompts (padded on the left) and completions (on the right) as one row each."""
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
    mask = batch["completion_mask"]
    if "tool_mask" in batch:
        mask = mask * batch["tool_mask"]
    attention = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
    response = torch.cat([torch.zeros_like(batch["prompt_mask"]), mask], 1)
    return rl_rollouts.Rollout(ids, attention, response, [""] * len(ids), np.ones(len(ids), dtype=bool))


def _in_order(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Micro-batches with rows as they were generated: consecutive rows are a group."""
    rows = torch.cat([part["oblr_row"] for part in parts])
    order = torch.argsort(rows)
    size = len(parts[0]["oblr_row"])
    result: list[dict[str, Any]] = [{} for _ in parts]
    for key, first in parts[0].items():
        if isinstance(first, Tensor) and first.ndim > 0:
            whole = torch.cat([part[key] for part in parts])[order]
        elif isinstance(first, list):
            flat = [item for part in parts for item in part[key]]
            whole = [flat[i] for i in order.tolist()]
        else:
            whole = None
        for i in range(len(parts)):
            result[i][key] = first if whole is None else whole[i * size : (i + 1) * size]
    return result


class _MicroBatches:
    """Gradients of micro-batches on a fixed random subset of coordinates, from differences of the accumulated one."""

    def __init__(self, coordinates: int) -> None:
        self._wanted = coordinates
        self._places: dict[str, Tensor] = {}
        self._before: Tensor | None = None
        self._parts: list[Tensor] = []
        self._scale = 1.0

    def note(self, model: nn.Module) -> None:
        """Called after each micro-batch's backward pass."""
        trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
        if not self._places:
            total = sum(p.numel() for p in trained.values())
            share = min(1.0, self._wanted / total)
            generator = torch.Generator().manual_seed(0)
            for name, p in trained.items():
                count = max(1, round(share * p.numel()))
                self._places[name] = torch.randperm(p.numel(), generator=generator)[:count].to(p.device)
            self._scale = total / sum(len(i) for i in self._places.values())
        kept = [
            trained[n].grad.flatten()[i].float()
            if trained[n].grad is not None
            else torch.zeros(len(i), device=i.device)
            for n, i in self._places.items()
        ]
        now = torch.cat([k.to(kept[0].device) for k in kept])
        self._parts.append(now if self._before is None else now - self._before)
        self._before = now

    def take(self) -> snr.Measured | None:
        """V and S of the accumulated gradient, micro-batches being the independent units; None for fewer than two."""
        parts, self._parts, self._before = self._parts, [], None
        if len(parts) < 2:
            return None
        units = torch.stack(parts) * len(parts)
        norms = units.square().sum(1).double().cpu().numpy() * self._scale
        return snr.measure(norms, float(units.mean(0).square().sum(dtype=torch.float64)) * self._scale)


class _ScaledRate(TrainerCallback):
    """Multiplies every learning rate by rho for the optimizer step alone; the scheduler never sees it."""

    def __init__(self, trainer: OBLRTrainer) -> None:
        self._trainer = trainer
        self._kept: list[float] = []

    def on_pre_optimizer_step(
        self, args: Any, state: Any, control: Any, optimizer: Any = None, **_: Any
    ) -> None:
        """Scale."""
        trainer = self._trainer
        measured = trainer._micro.take() if args.oblr_snr == "microbatch" else None
        if measured is not None:
            trainer._observe(measured)
        rho = snr.rate_share(trainer.oblr_state, args.oblr_floor) if args.oblr_adaptive else 1.0
        self._kept = [group["lr"] for group in optimizer.param_groups]
        for group in optimizer.param_groups:
            group["lr"] = group["lr"] * rho
        trainer._metrics["train"]["oblr/rho"].append(rho)
        trainer._metrics["train"]["oblr/lr"].append(optimizer.param_groups[0]["lr"])

    def on_optimizer_step(self, args: Any, state: Any, control: Any, optimizer: Any = None, **_: Any) -> None:
        """Restore."""
        for group, rate in zip(optimizer.param_groups, self._kept, strict=True):
            group["lr"] = rate
