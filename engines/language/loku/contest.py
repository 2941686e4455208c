"""One contender after the other: start, unlearn to the threshold, look, keep, attack."""

from __future__ import annotations

import copy
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import nn

from engines.contract import Context
from engines.devices import one_thread
from engines.events import Alert, Event, File, Progress, Scalar
from engines.language import authors, kept_models
from engines.language.loku import claims, report, tokens
from engines.language.loku.attack import relearn
from engines.language.loku.baselines import NEEDS_REFERENCE
from engines.language.loku.contenders import METHOD, Contender, contenders
from engines.language.loku.evaluation import Quality
from engines.language.loku.method.fila import LayerReport
from engines.language.loku.params import LokuParams
from engines.language.loku.setup import TWIN, Setup, quality_scalars, set_up
from engines.language.loku.starts import Begun, begin, largest_change, state_bytes
from engines.language.loku.unlearning import Diverged, StepInfo, Unlearner

T = TypeVar("T")


@dataclass(frozen=True)
class Race:
    """FILA at the learning rate of plain LoRA: its steps, whether they reached the threshold, the utility there."""

    steps: int
    reached: bool
    rate: float
    utility: float


@dataclass
class Outcome:
    """What became of one contender."""

    contender: Contender
    quality: Quality
    rate: float
    steps: int
    epochs: float
    reached: bool
    trainable: int
    parameters: int
    state_bytes: int
    step_bytes: int
    """Peak of a step: measured on a GPU, else `state_bytes` and what the first step held, the original model included."""
    seconds: float
    start_seconds: float
    start_change: float | None
    reports: tuple[LayerReport, ...]
    tokens: tuple[tokens.View, ...] = ()
    attack: tuple[float, float] | None = None
    diverged: bool = field(default=False)


def run(params: LokuParams, context: Context) -> Iterator[Event]:
    """Everything of a run."""
    with one_thread(params.model == authors.MODEL):
        chosen = contenders(params.losses, params.starts, params.baseline_starts)
        setup = yield from set_up(params, context, chosen)
        original = copy.deepcopy(setup.model.model).requires_grad_(False) if setup.needs_original else None
        yield from report.before(setup)
        outcomes: list[Outcome] = []
        for contender in chosen:
            outcome = yield from _unlearn(setup, contender, original)
            outcomes.append(outcome)
            setup.done += 1
            yield from report.so_far(setup, outcomes)
        yield from _twin_attack(setup)
        race = yield from _same_rate(setup, outcomes)
        yield from report.ending(setup, outcomes)
        yield from claims.check(setup, outcomes, race)
        yield Progress(setup.total, setup.total, "done")


def _unlearn(
    setup: Setup, contender: Contender, original: nn.Module | None
) -> Generator[Event, None, Outcome]:
    series, context = contender.series, setup.context
    yield setup.progress(f"{series}: starting")
    _reset_peak(context.device)
    started = time.perf_counter()
    begun = begin(setup.model, contender.start, setup.adapters, context.seed, setup.fishers)
    start_seconds = time.perf_counter() - started
    change = None
    if contender.start in ("fila", "pissa"):
        rows = [*setup.questions.forget[:8], *setup.questions.retain[:8]]
        change = largest_change(setup.model.model, begun.model.model, rows, setup.model.pad)
        yield Scalar(series, "largest logit change at the start", 0, change)
    unlearner = Unlearner(
        begun.model.model,
        setup.questions,
        setup.settings(contender),
        pad=setup.model.pad,
        seed=context.seed,
        original=original,
    )
    yield from quality_scalars(series, setup.before, 0)
    yield Scalar(series, "forget accuracy", 0, setup.before.forget.known)
    seconds, reached, diverged = yield from train(setup, series, unlearner, begun)
    quality = setup.exam.full(begun.model)
    epoch = unlearner.taken / unlearner.steps_an_epoch
    yield from quality_scalars(series, quality, epoch)
    yield setup.progress(f"{series}: keeping the model", 0.9)
    yield from _keep(setup, contender, begun)
    views = tokens.look(begun.model, setup)
    state = state_bytes(begun.model.model, setup.params.optimizer == "adamw")
    besides = (
        state_bytes(original, False) if original is not None and contender.loss in NEEDS_REFERENCE else 0
    )
    outcome = Outcome(
        contender, quality, setup.rate(contender), unlearner.taken, epoch, reached, unlearner.trainable,
        sum(p.numel() for p in setup.model.model.parameters()),
        state, _peak(context.device) or state + unlearner.saved_bytes + besides, seconds, start_seconds, change,
        begun.reports, views, diverged=diverged,
    )  # fmt: skip
    if setup.params.relearn_steps:
        yield setup.progress(f"{series}: re-learning attack", 0.95)
        outcome.attack = relearn(begun.model, setup.questions.forget, setup.params, context.seed)
    return outcome


def train(
    setup: Setup, series: str, unlearner: Unlearner, begun: Begun, *, watched: bool = True
) -> Generator[Event, None, tuple[float, bool, bool]]:
    """Steps with looks in between; answers (seconds of the steps alone, threshold reached, diverged). Unless `watched`,
    what must stay is not looked at on the way."""
    params, seconds, reached = setup.params, 0.0, False
    every = max(1, round(unlearner.steps_an_epoch / params.checks))
    while unlearner.taken < unlearner.steps:
        started = time.perf_counter()
        try:
            info = unlearner.step()
        except Diverged as error:
            yield Alert("diverged", unlearner.taken, f"{series}: {error}; the last good state is kept.")
            return seconds, reached, True
        spent = time.perf_counter() - started
        seconds += spent
        yield from _step_scalars(series, info, spent)
        yield setup.progress(
            f"{series}: step {info.step} of at most {unlearner.steps}", 0.9 * info.step / unlearner.steps
        )
        last = info.step % unlearner.steps_an_epoch == 0
        if info.step % every == 0 or last:
            accuracy, probability = setup.exam.light(begun.model)
            yield Scalar(series, "forget accuracy", info.epoch, accuracy)
            likelihood = None
            if setup.rule.likelihood is not None and accuracy <= setup.rule.accuracy:
                likelihood = setup.exam.likelihood(begun.model)
                if likelihood is not None:
                    yield Scalar(series, "extraction likelihood", info.epoch, likelihood)
            met = setup.rule.is_met(accuracy, 0.0 if likelihood is None else likelihood, info.epoch)
            reached = reached or met
            if met and params.stop == "threshold":
                return seconds, True, False
            if last and watched and unlearner.taken < unlearner.steps:
                yield from quality_scalars(series, setup.exam.kept(begun.model), info.epoch)
            yield Scalar(series, "forget probability", info.epoch, probability)
    return seconds, reached, False


def _step_scalars(series: str, info: StepInfo, spent: float) -> Iterator[Event]:
    for name, value in info.seen.items():
        yield Scalar(series, name, info.step, value)
    yield Scalar(series, "learning rate", info.step, info.rate)
    yield Scalar(series, "gradient length", info.step, info.gradient_norm)
    yield Scalar(series, "time/step", info.step, spent)


def _keep(setup: Setup, contender: Contender, begun: Begun) -> Iterator[Event]:
    """What the contender changed, as a file that can be asked later."""
    if not setup.params.keep_models:
        return
    path = setup.context.scratch / f"{contender.key.replace('+', '-')}.safetensors"
    kept = kept_models.keep(
        path, begun.model.model, setup.params.model, contender.series, setup.model.model, begun.taken,
        template=setup.model.template,
    )  # fmt: skip
    if kept:
        yield File(
            f"model {contender.series}",
            path,
            kept_models.MEDIA_TYPE,
            f"What {contender.series} changed in the model",
        )
    else:
        yield Alert(
            "model not kept", 0,
            f"{contender.series}: what it changed takes more than {kept_models.LIMIT_BYTES // 2**20} MiB and was not kept.",
        )  # fmt: skip


def _same_rate(setup: Setup, outcomes: list[Outcome]) -> Generator[Event, None, Race | None]:
    """FILA once more at plain LoRA's learning rate, where that is another one, to count steps alone: with rates tuned
    for utility a slower rate would hide what the start does."""
    found = {o.contender.series: o for o in outcomes}
    if METHOD not in found or "IHL" not in found:
        return None
    fila, plain = found[METHOD], found["IHL"]
    if fila.rate == plain.rate:
        return Race(fila.steps, fila.reached, plain.rate, fila.quality.utility)
    series = f"{METHOD}, rate of plain LoRA"
    yield setup.progress(f"{series}: counting steps", -0.01)
    begun = begin(setup.model, "fila", setup.adapters, setup.context.seed, setup.fishers)
    unlearner = Unlearner(
        begun.model.model, setup.questions, setup.settings(fila.contender, plain.rate), pad=setup.model.pad,
        seed=setup.context.seed,
    )  # fmt: skip
    yield Scalar(series, "forget accuracy", 0, setup.before.forget.known)
    _, reached, _ = yield from _quietly(train(setup, series, unlearner, begun, watched=False))
    return Race(unlearner.taken, reached, plain.rate, setup.exam.kept(begun.model).utility)


def _quietly(events: Generator[Event, None, T]) -> Generator[Event, None, T]:
    """The same events without those of progress: what is done besides has no share in it."""
    while True:
        try:
            event = next(events)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        if not isinstance(event, Progress):
            yield event


def _twin_attack(setup: Setup) -> Iterator[Event]:
    """The same attack on a model that never saw the data: how fast it learns what it never knew."""
    if setup.twin is None or not setup.params.relearn_steps:
        return
    yield setup.progress("re-learning attack on the retain-only model", -0.01)
    begun = begin(setup.twin, "lora", setup.adapters, setup.context.seed)
    low, high = relearn(begun.model, setup.questions.forget, setup.params, setup.context.seed)
    yield Scalar(TWIN, "fact accuracy before the attack", 0, low)
    yield Scalar(TWIN, "fact accuracy after the attack", 0, high)


def _reset_peak(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()


def _peak(device: str) -> int:
    """Peak memory of a GPU in bytes; 0 on a CPU, where it cannot be told apart from the rest of the process."""
    return int(torch.cuda.max_memory_allocated()) if device.startswith("cuda") else 0


__all__ = ["METHOD", "Outcome", "run"]
