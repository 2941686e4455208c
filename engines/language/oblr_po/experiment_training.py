"""Training of all contenders side by side, with variance audits on the way (spec sections 6b and 6c)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from engines.contract import Context, Refusal
from engines.devices import numpy_generator, one_thread, torch_generator
from engines.events import Alert, Command, Event, Progress, Scalar, Table, Text
from engines.language import char_policy, rl_models, rl_tasks
from engines.language.char_policy import Problem
from engines.language.oblr_po import claims, report
from engines.language.oblr_po.audit import draw_population, estimate_all
from engines.language.oblr_po.baselines import ADAPTED_RATE_NOTE, ARMS, tuned_rate, tuning_rows
from engines.language.oblr_po.evaluation import Quality, evaluate
from engines.language.oblr_po.params import OblrPoParams
from engines.language.oblr_po.training import Settings, StepInfo, Trainer
from engines.language.per_sample_norms import UnsupportedLayer
from engines.language.rl_models import Policy
from engines.language.verifiers import Reward, load_reward

GROUPS = (4, 8, 16, 32)
AUDIT_WORK = 60
"""What one audit counts in progress, in steps of one contender."""


@dataclass
class Setup:
    """What all contenders share."""

    params: OblrPoParams
    seed: int
    policy: Policy
    reward: Reward
    train: list[Problem]
    held_out: list[Problem]

    @property
    def exact_chance(self) -> bool:
        """Whether the chance of a right answer can be had without sampling."""
        return (
            self.params.model == char_policy.EMBEDDED
            and self.params.reward == "exact"
            and not self.params.problems
        )

    def batch(self, step: int) -> list[Problem]:
        """The prompts of a step, the same for every contender."""
        count = len(self.train)
        rng = numpy_generator(self.seed, "prompts", step)
        return [
            self.train[i] for i in rng.choice(count, self.params.prompts, replace=count < self.params.prompts)
        ]

    def quality(self, policy: Policy) -> Quality:
        """Held-out quality, with the same draws at every step."""
        return evaluate(
            policy,
            self.reward,
            self.held_out[:200],
            self.params.max_new_tokens,
            self.exact_chance,
            torch_generator(self.seed, "evaluation"),
        )


@dataclass
class Runner:
    """One contender on its way: its trainer, its held-out accuracies, its rates, its streaks for alerts."""

    key: str
    trainer: Trainer
    history: list[np.ndarray] = field(default_factory=list)
    used: list[float] = field(default_factory=list)
    smooth: float = float("nan")
    first_entropy: float = float("nan")
    below: int = 0
    silent: int = 0
    told: set[str] = field(default_factory=set)

    @property
    def series(self) -> str:
        return ARMS[self.key].series


def run(params: OblrPoParams, context: Context, inbox: deque[Command]) -> Iterator[Event]:
    """Everything of the training experiment; `inbox` holds what the reader asks for meanwhile."""
    with one_thread(params.model == char_policy.EMBEDDED):
        yield Progress(0, 1, "loading the policy")
        setup = _set_up(params, context)
        try:
            yield from _contest(setup, inbox)
        except UnsupportedLayer as error:
            raise Refusal("model", f"model {Path(params.model).name!r}: {error}") from error


def _set_up(params: OblrPoParams, context: Context) -> Setup:
    policy = rl_models.load(params.model, context.device, lora_rank=params.lora_rank, seed=context.seed)
    if "problems" in context.inputs:
        train, held_out = rl_tasks.read_problems(context.inputs["problems"], "problems")
    else:
        train, held_out = rl_tasks.additions(params.difficulty, in_words=params.model != char_policy.EMBEDDED)
    return Setup(params, context.seed, policy, load_reward(params.reward), train, held_out)


def _contest(setup: Setup, inbox: deque[Command]) -> Iterator[Event]:
    params = setup.params
    together = [_runner(setup, key, _rate(params, key)) for key in params.arms if key != "matched"]
    yield Table("Learning rates tried", ("contender", "rate", "held-out accuracy", "chosen"), tuning_rows())
    if params.rates == "tuned":
        yield Text("learning rates", ADAPTED_RATE_NOTE)
    if params.group < 8 and params.shrink == 0 and {"oblr_po", "ob_only"} & set(params.arms):
        yield Alert(
            "small groups",
            0,
            f"With {params.group} responses a prompt the estimated optimal baseline is noisy; "
            "8 or more, or shrinking it by 0.5, is safer.",
        )
    total = params.steps * len(params.arms) + AUDIT_WORK * params.audits
    lens = next((r for r in together if r.key == "oblr_po"), together[0])
    log = AuditLog(setup, total)
    start = setup.quality(setup.policy)
    for runner in together:
        yield from _record_quality(setup, runner, 0, start)
    audit_steps = (
        set(np.linspace(0, params.steps, params.audits).round().astype(int).tolist())
        if params.audits > 1
        else {0}
    )
    pending = setup.policy if params.audits else None
    for step in range(1, params.steps + 1):
        for runner in together:
            yield from _advance(setup, runner, step, detailed=runner is lens)
            log.done += 1
            yield Progress(log.done, total, f"step {step} of {params.steps}")
        if pending is not None:  # the first audit waits for the first points, so that curves start at once
            yield from log.audit(pending, 0, planned=True)
            pending = None
        while inbox:
            yield from _obey(inbox.popleft(), log, lens, step)
        if step in audit_steps and params.audits > 1:
            yield from log.audit(lens.trainer.policy, step, planned=True)
    runners = list(together)
    if "matched" in params.arms:
        runners.append(_runner(setup, "matched", float(np.mean(lens.used))))
        yield from _record_quality(setup, runners[-1], 0, start)
        for step in range(1, params.steps + 1):
            yield from _advance(setup, runners[-1], step, detailed=False)
            log.done += 1
            yield Progress(log.done, total, f"control at a fixed rate, step {step} of {params.steps}")
            while inbox:
                yield from _obey(inbox.popleft(), log, runners[-1], step)
    yield from report.summary([(r.series, r.history, r.used) for r in runners])
    yield from log.claims()
    if params.experiment != "audit":
        yield from claims.check_training({r.key: r.history for r in runners})
    yield Progress(total, total, "done")


def _obey(command: Command, log: AuditLog, lens: Runner, step: int) -> Iterator[Event]:
    if command.kind == "do" and command.name == "audit":
        yield from log.audit(lens.trainer.policy, step, planned=False)
    else:
        yield Alert("unknown request", step, f"This run knows the request audit; got {command.name!r}.")


def _rate(params: OblrPoParams, key: str) -> float:
    tuned = params.rates == "tuned" and params.optimizer == "adamw" and params.model == char_policy.EMBEDDED
    return tuned_rate(key) if tuned else params.learning_rate


def _runner(setup: Setup, key: str, rate: float) -> Runner:
    p, arm = setup.params, ARMS[key]
    settings = Settings(
        estimator=arm.estimator, adaptive=arm.adaptive, rate=rate, weights=p.weights, shrink=p.shrink, beta=p.beta,
        floor=p.floor, start=p.start_share, optimizer=p.optimizer, kl=p.kl, entropy=p.entropy_bonus,
        max_new_tokens=p.max_new_tokens,
    )  # fmt: skip
    return Runner(key, Trainer(setup.policy.copy(), setup.reward, settings))


def _advance(setup: Setup, runner: Runner, step: int, detailed: bool) -> Iterator[Event]:
    """One step of one contender and all that it tells."""
    params = setup.params
    info = runner.trainer.step(setup.batch(step), params.group, torch_generator(setup.seed, "rollout", step))
    runner.used.append(info.rate)
    mean = float(np.nanmean(info.rewards)) if np.isfinite(info.rewards).any() else float("nan")
    runner.smooth = mean if np.isnan(runner.smooth) else 0.8 * runner.smooth + 0.2 * mean
    yield from report.step_scalars(
        runner.series, runner.smooth, info, step, runner.trainer.settings.estimator
    )
    yield from _alerts(runner, info, step)
    if detailed:
        yield report.rollout_table(info)
    if step % params.eval_every == 0 or step == params.steps:
        yield from _record_quality(setup, runner, step, setup.quality(runner.trainer.policy))


def _record_quality(setup: Setup, runner: Runner, step: int, quality: Quality) -> Iterator[Event]:
    if step:
        runner.history.append(quality.sampled)
    samples = step * setup.params.prompts * (setup.params.group + (runner.key == "remax"))
    yield Scalar(runner.series, "held-out accuracy", step, float(quality.sampled.mean()))
    yield Scalar(runner.series, "held-out accuracy by samples", samples, float(quality.sampled.mean()))
    yield Scalar(runner.series, "greedy held-out accuracy", step, float(quality.greedy.mean()))


def _alerts(runner: Runner, info: StepInfo, step: int) -> Iterator[Event]:
    """Collapse of entropy, SNR below 0.1 for ten steps, no signal for three: each told once a contender."""
    if np.isnan(runner.first_entropy):
        runner.first_entropy = info.entropy
    runner.below = runner.below + 1 if info.state.snr < 0.1 else 0
    runner.silent = runner.silent + 1 if info.silent_groups == 1.0 else 0
    found = {
        "entropy collapsed": (info.entropy < 0.2 * runner.first_entropy,
                              f"entropy {info.entropy:.3f} nats, a fifth of its start or less"),
        "gradient is noise": (runner.below >= 10, "SNR below 0.1 for 10 steps: more prompts or responses a step"),
        "no signal": (runner.silent >= 3, "all responses to each prompt had the same reward for 3 steps: change the task"),
        "poor stand-in": (info.proxy < 0.3, f"the stand-in for gradient norms correlates only {info.proxy:.2f} with them"),
        "not finite": (not np.isfinite(info.measured.square), "the gradient is not finite: lower the learning rate"),
    }  # fmt: skip
    for name, (is_so, words) in found.items():
        if is_so and name not in runner.told:
            runner.told.add(name)
            yield Alert(name, step, f"{runner.series}: {words}.")


@dataclass
class AuditLog:
    """All audits of a run: their estimates for the claims."""

    setup: Setup
    total: float
    done: float = 0
    ratios: list[dict[tuple[str, int], tuple[float, float, float]]] = field(default_factory=list)
    oracle: list[float] = field(default_factory=list)

    def audit(self, policy: Policy, step: int, planned: bool) -> Iterator[Event]:
        """Draw a population from `policy` as it stands, resample it, and tell everything about it."""
        params, seed = self.setup.params, self.setup.seed
        yield Progress(self.done, self.total, f"auditing variances at step {step}")
        rng = numpy_generator(seed, "audit prompts")
        chosen = rng.choice(
            len(self.setup.train), min(params.audit_prompts, len(self.setup.train)), replace=False
        )
        population = draw_population(
            policy,
            self.setup.reward,
            [self.setup.train[i] for i in chosen],
            params.audit_responses,
            params.max_new_tokens,
            torch_generator(seed, "audit", step),
        )
        estimates = {}
        for group in GROUPS:
            yield Progress(
                self.done, self.total, f"auditing variances at step {step}, {group} responses a prompt"
            )
            estimates[group] = estimate_all(
                population, group, params.audit_trials, numpy_generator(seed, "trials", group)
            )
        yield from report.audit_events(population, estimates, step)
        mean, best = (estimates[GROUPS[0]][name].variance for name in ("oracle mean", "oracle b*"))
        if planned and mean > 0:
            self.oracle.append(best / mean)
            self.ratios.append(
                {
                    ("OB", g): (e["OB"].ratio, e["OB"].ratio_low, e["OB"].ratio_high)
                    for g, e in estimates.items()
                }
            )
        self.done += AUDIT_WORK if planned else 0

    def claims(self) -> Iterator[Event]:
        """What the planned audits say; nothing where there was none."""
        if self.setup.params.audits:
            yield from report.audit_claims(self.oracle, self.ratios)
