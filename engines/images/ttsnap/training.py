"""Training the noise-aware reward, watched: trajectories, then level by level, alignment after each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from engines.contract import Context
from engines.devices import numpy_generator
from engines.events import Array, Axis, ClaimCheck, Event, File, Progress, Scalar, Table, Text
from engines.images import verdicts
from engines.images.ttsnap import prompts, weights_file
from engines.images.ttsnap.method import heads
from engines.images.ttsnap.method.metrics import mean_over_prompts, residual, spearman
from engines.images.ttsnap.method.noise_aware import NoiseAware, curriculum, init, step
from engines.images.ttsnap.opening import Models, open_models
from engines.images.ttsnap.params import HELD_SEEDS, TTSnapParams
from engines.images.ttsnap.trajectories import Trajectories, drawn, require_room

SCORED_AT_ONCE = 128
AWARE, PLAIN = "Noise-aware", "Plain"


class _Work:
    """Counts the work for the progress bar, a call of a batch as one."""

    def __init__(self, total: float) -> None:
        self.total, self.done = total, 0.0

    def tick(self, note: str, units: float = 1.0) -> Progress:
        """So much more is done."""
        self.done = min(self.done + units, self.total)
        return Progress(self.done, self.total, note)


def run(params: TTSnapParams, context: Context) -> Iterator[Event]:
    """Everything of the experiment."""
    taught, held = _texts(params, context)
    levels = params.train_levels
    updates = params.train_prompts * params.train_seeds * params.epochs // params.batch
    draws = len(taught) + len(held)
    work = _Work(float(draws * (params.steps + levels + 1) + levels * updates * 2))
    yield work.tick("loading the models", 0)
    models = open_models(params, context, aware=False)
    pupil = NoiseAware(
        models.rewards[params.rewards[0]],
        levels,
        "levels" if params.form == "heads" else params.form,
        torch.float32,
    )
    if not params.is_world:
        yield Text("memory", f"{models.memory} {require_room(params, pupil, context.device)}")
    train = yield from drawn(models, taught, params.train_seeds, context.seed, levels, work.tick, "training")
    test = yield from drawn(models, held, HELD_SEEDS, context.seed, levels, work.tick, "held-out")
    yield Text(
        "trajectories",
        f"{len(taught)} training prompts x {params.train_seeds} seeds, {len(held)} held-out prompts x {HELD_SEEDS} seeds; "
        f"label: {models.names[0]} of the finished picture.",
    )
    before = [_by_prompt(pupil, test, level) for level in range(levels)]
    plain = [mean_over_prompts(values) for values in before]
    for level, value in enumerate(plain):
        yield Scalar(PLAIN, "Spearman", level, value)
    yield from _lessons(params, context.seed, pupil, train, test, plain, updates, work)
    yield from _results(params, context, models, pupil, test, before)
    yield Progress(work.total, work.total, "done")


def _texts(params: TTSnapParams, context: Context) -> tuple[list[str], list[str]]:
    """Prompts that are taught and prompts that are held out."""
    if prompts.FIELD not in context.inputs:
        return prompts.split(context.seed, params.train_prompts, params.held_prompts)
    found = prompts.read(context.inputs[prompts.FIELD])
    return prompts.dealt(found, context.seed, params.train_prompts, params.held_prompts)


def _lessons(
    params: TTSnapParams,
    seed: int,
    pupil: NoiseAware,
    train: Trajectories,
    test: Trajectories,
    plain: list[float],
    updates: int,
    work: _Work,
) -> Iterator[Event]:
    """Level after level in the order of the curriculum, with the alignment of each when it is learnt."""
    heads = params.form == "heads"
    order = _order(params, seed)
    count, current = 0, list(plain)
    for place, level in enumerate(order):
        generator = numpy_generator(seed, "batches", level)
        losses = []
        how = _head if heads else _level
        for info in how(params, pupil, train, level, order[:place], updates, generator):
            count += 1
            losses.append(info["loss"])
            yield Scalar(AWARE, "loss", count, info["loss"])
            # an update is two calls of a batch; a head is fitted at once
            yield work.tick(f"level {level} of {len(order) - 1} .. 0", 2 * updates if heads else 2)
        yield Scalar(AWARE, "loss of a level", level, float(np.mean(losses[-max(1, len(losses) // 4) :])))
        current[level] = mean_over_prompts(_by_prompt(pupil, test, level))
        yield Scalar(AWARE, "alignment when learnt", level, current[level])
        yield _alignments(place, plain, current)


def _alignments(place: int, plain: list[float], aware: list[float]) -> Array:
    """Alignment by level of both scorers after so many levels."""
    axes = (Axis("scorer", (PLAIN, AWARE)), Axis("step", np.arange(len(plain))))
    return Array("alignment while learning", place, np.array([plain, aware]), axes)


def _results(
    params: TTSnapParams,
    context: Context,
    models: Models,
    pupil: NoiseAware,
    test: Trajectories,
    before: list[NDArray[np.float64]],
) -> Iterator[Event]:
    """Alignment measured anew (what one model learns later changes what it says of earlier levels), weights, claim."""
    name, levels = params.rewards[0], len(before)
    after = [_by_prompt(pupil, test, level) for level in range(levels)]
    plain, final = ([mean_over_prompts(values) for values in some] for some in (before, after))
    yield _alignments(levels, plain, final)
    for level, value in enumerate(final):
        yield Scalar(AWARE, "Spearman", level, value)
    rows = [[level, plain[level], final[level], final[level] - plain[level]] for level in range(levels)]
    yield Table("Alignment by level", ("step", "plain", "noise-aware", "gain"), rows)
    about = weights_file.about_of(
        models.generator, models.rewards[name], name=name, model=params.model, steps=params.steps,
        guidance=params.guidance, decoder=params.decoder,
    )  # fmt: skip
    about["residual"] = [round(residual(_scored(pupil, test, at), test.final), 4) for at in range(levels)]
    path = weights_file.write(context.scratch / f"noise-aware-{name}.safetensors", pupil, about)
    yield File(
        weights_file.FIELD,
        path,
        "application/octet-stream",
        f"noise-aware {models.names[0]}, fingerprint {about['fingerprint'][:8]}",
    )
    yield Text(
        "fingerprint",
        f"{about['fingerprint']}: {params.model}, {params.steps} steps, guidance {params.guidance:g}, {models.names[0]}.",
    )
    yield _claim(np.stack(before), np.stack(after))


def _claim(before: NDArray[np.float64], after: NDArray[np.float64]) -> ClaimCheck:
    """Alignment [L, P] before and after, mean over levels, prompt by prompt."""
    known = np.isfinite(before) & np.isfinite(after)
    told = known.any(0)
    if not told.any():
        return ClaimCheck("learns", None, None, None, "No held-out prompt had seeds of different rewards.")
    first, second = (
        np.where(known, values, 0.0).sum(0)[told] / known.sum(0)[told] for values in (before, after)
    )
    levels = [(a[k].mean(), b[k].mean()) for a, b, k in zip(before, after, known, strict=True) if k.any()]
    better = sum(b > a for a, b in levels)
    words = f"Better at {better} of {len(levels)} levels."
    return verdicts.check("learns", second, first, words, "prompts")


def _order(params: TTSnapParams, seed: int) -> list[int]:
    """Levels in the order of training."""
    order = list(curriculum(params.train_levels))
    if params.order == "reverse":
        return order[::-1]
    if params.order == "mixed":
        numpy_generator(seed, "order of levels").shuffle(order)
    return order


def _level(
    params: TTSnapParams,
    pupil: NoiseAware,
    data: Trajectories,
    level: int,
    learnt: list[int],
    updates: int,
    rng: np.random.Generator,
) -> Iterator[dict[str, float]]:
    """Passes over all trajectories at one level; a share of a batch repeats levels learnt before (one model)."""
    prompts, seeds = data.final.shape
    # pairs of one prompt stand together, for the pair loss
    width = 2 if seeds % 2 == 0 else 1
    rows = np.concatenate([
        rng.permutation(prompts * seeds // width).repeat(width) * width + np.tile(np.arange(width), prompts * seeds // width)
        for _ in range(params.epochs)
    ])  # fmt: skip
    state = init(
        pupil,
        level,
        updates=updates,
        rate=params.rate,
        least=params.least,
        afresh=params.order == "independent",
    )
    final = torch.from_numpy(data.final).to(pupil.device)
    for k in range(updates):
        chosen = rows[k * params.batch : (k + 1) * params.batch]
        at = np.full(len(chosen), level)
        if pupil.form == "conditioned" and learnt and params.replay > 0:
            at = np.where(rng.random(len(at)) < params.replay, rng.choice(learnt, size=len(at)), at)
        p, s = chosen // seeds, chosen % seeds
        shown = torch.from_numpy(data.pictures[p, s, at]).to(pupil.device).float() / 255
        told = torch.from_numpy(at) if pupil.form == "conditioned" else None
        state, info = step(
            state, shown, data.features.take(torch.from_numpy(p)), final[p, s], told,
            pair_scale=params.pair_loss, pair_tau=params.pair_tau,
        )  # fmt: skip
        yield info


def _by_prompt(pupil: NoiseAware, data: Trajectories, level: int) -> NDArray[np.float64]:
    """Spearman correlation inside each held-out prompt at a level, [P]."""
    return spearman(_scored(pupil, data, level), data.final)


@torch.no_grad()
def _head(
    params: TTSnapParams,
    pupil: NoiseAware,
    data: Trajectories,
    level: int,
    learnt: list[int],
    updates: int,
    rng: np.random.Generator,
) -> Iterator[dict[str, float]]:
    """The last layers of a level in closed form, towards those of the next cleaner one; the loss is inside prompts."""
    prompts, seeds = data.final.shape
    shown = torch.from_numpy(data.pictures[:, :, level]).flatten(0, 1)
    rows = torch.arange(prompts).repeat_interleave(seeds)
    parts = [
        heads.states(pupil.reward, shown[some].float() / 255, data.features.take(rows[some]))
        for some in torch.arange(len(rows)).split(SCORED_AT_ONCE)
    ]
    h = torch.cat(parts).double().numpy().reshape(prompts, seeds, -1)
    pupil.begin(level, afresh=params.order == "independent")
    head, _ = heads.fit(h, data.final.astype(np.float64), heads.head_of(pupil), rng)
    heads.install(pupil, level, head)
    yield {"loss": residual(h @ head.weight, data.final) ** 2}


@torch.no_grad()
def _scored(pupil: NoiseAware, data: Trajectories, level: int) -> NDArray[np.float64]:
    """Predictions [P, S] at a level."""
    prompts, seeds = data.final.shape
    shown = torch.from_numpy(data.pictures[:, :, level]).flatten(0, 1)
    rows = torch.arange(prompts).repeat_interleave(seeds)
    parts = [
        pupil.score(shown[some].to(pupil.device).float() / 255, data.features.take(rows[some]), level)
        for some in torch.arange(len(rows)).split(SCORED_AT_ONCE)
    ]
    return torch.cat(parts).double().cpu().numpy().reshape(prompts, seeds)
