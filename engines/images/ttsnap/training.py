"""Training the noise-aware reward, watched: trajectories, then level by level, alignment after each."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from engines.contract import Context
from engines.devices import numpy_generator
from engines.events import Array, Axis, ClaimCheck, Event, File, Progress, Scalar, Table, Text
from engines.images.rewards.base import Features
from engines.images.ttsnap import weights_file
from engines.images.ttsnap.method import heads, search
from engines.images.ttsnap.method.metrics import mean_over_prompts, residual, spearman
from engines.images.ttsnap.method.noise_aware import NoiseAware, curriculum, init, step
from engines.images.ttsnap.opening import Models, open_models
from engines.images.ttsnap.params import TTSnapParams
from engines.images.ttsnap.prompts import split

HELD_SEEDS = 16
SCORED_AT_ONCE = 128
AWARE, PLAIN = "Noise-aware", "Plain"


@dataclass(frozen=True)
class Trajectories:
    """`pictures` uint8 [P, S, L, 3, H, W]: decoded estimates of steps 0 .. L - 1; `final` [P, S]: the plain reward of the
    finished pictures; `features` of the prompts."""

    pictures: NDArray[np.uint8]
    final: NDArray[np.float32]
    features: Features


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
    taught, held = split(context.seed, params.train_prompts, params.held_prompts)
    levels = params.train_levels
    updates = params.train_prompts * params.train_seeds * params.epochs // params.batch
    draws = len(taught) + len(held)
    work = _Work(float(draws * (params.steps + levels + 1) + levels * updates * 2))
    yield work.tick("loading the models", 0)
    models = open_models(params, context, aware=False)
    train = yield from _draw(models, taught, params.train_seeds, context.seed, levels, work.tick, "training")
    test = yield from _draw(models, held, HELD_SEEDS, context.seed, levels, work.tick, "held-out")
    yield Text(
        "trajectories",
        f"{len(taught)} training prompts x {params.train_seeds} seeds, {len(held)} held-out prompts x {HELD_SEEDS} seeds; "
        f"label: {models.names[0]} of the finished picture.",
    )
    pupil = NoiseAware(
        models.rewards[params.rewards[0]], levels, "levels" if params.form == "heads" else params.form
    )
    plain = [_aligned(pupil, test, level) for level in range(levels)]
    for level, value in enumerate(plain):
        yield Scalar(PLAIN, "Spearman", level, value)
    yield from _lessons(params, context.seed, pupil, train, test, plain, updates, work)
    yield from _results(params, context, models, pupil, test, plain)
    yield Progress(work.total, work.total, "done")


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
        current[level] = _aligned(pupil, test, level)
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
    plain: list[float],
) -> Iterator[Event]:
    """Alignment measured anew (what one model learns later changes what it says of earlier levels), weights, claim."""
    name, levels = params.rewards[0], len(plain)
    final = [_aligned(pupil, test, level) for level in range(levels)]
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
    yield _claim(plain, final)


def _claim(plain: list[float], final: list[float]) -> ClaimCheck:
    before, after = np.array(plain), np.array(final)
    known = np.isfinite(before) & np.isfinite(after)
    if not known.any():
        return ClaimCheck("learns", None, None, None, "No held-out prompt had seeds of different rewards.")
    better = int((after > before)[known].sum())
    words = f"Better at {better} of {int(known.sum())} levels."
    measured, baseline = float(after[known].mean()), float(before[known].mean())
    return ClaimCheck("learns", measured, baseline, measured > baseline, words)


def _order(params: TTSnapParams, seed: int) -> list[int]:
    """Levels in the order of training."""
    order = list(curriculum(params.train_levels))
    if params.order == "reverse":
        return order[::-1]
    if params.order == "mixed":
        numpy_generator(seed, "order of levels").shuffle(order)
    return order


def _draw(
    models: Models,
    prompts: list[str],
    seeds: int,
    seed: int,
    levels: int,
    tick: Callable[[str], Progress],
    kind: str,
) -> Generator[Event, None, Trajectories]:
    """Trajectories of some prompts, a prompt at a time."""
    pictures, finals = [], []
    name = models.params.rewards[0]
    reward = models.rewards[name]
    for place, prompt in enumerate(prompts):
        note = f"{kind} trajectories, prompt {place + 1} of {len(prompts)}"
        noise = models.noise(seeds, seed, prompt)
        race = search.init(
            models.generator, noise, models.conditioning(prompt, seeds), steps=models.params.steps,
            guidance=models.params.guidance,
        )  # fmt: skip
        seen = []
        while not race.is_done:
            race = search.call(race, models.generator, models.params.at_once)
            yield tick(note)
            if race.sampling.index <= levels or race.is_done:
                assert race.sampling.clean is not None
                shown = search.decode(models.generator, race.sampling.clean)
                if race.is_done:
                    with torch.no_grad():
                        finals.append(
                            reward.score(shown, reward.encode([prompt]).expand(seeds)).float().numpy()
                        )
                else:
                    seen.append((shown * 255).round().to(torch.uint8))
                yield tick(note)
        pictures.append(torch.stack(seen, 1).numpy())
    return Trajectories(np.stack(pictures), np.stack(finals), reward.encode(prompts))


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
    state = init(pupil, level, updates=updates, rate=params.rate, least=params.least)
    final = torch.from_numpy(data.final)
    for k in range(updates):
        chosen = rows[k * params.batch : (k + 1) * params.batch]
        at = np.full(len(chosen), level)
        if pupil.form == "conditioned" and learnt and params.replay > 0:
            at = np.where(rng.random(len(at)) < params.replay, rng.choice(learnt, size=len(at)), at)
        p, s = chosen // seeds, chosen % seeds
        shown = torch.from_numpy(data.pictures[p, s, at]).float() / 255
        told = torch.from_numpy(at) if pupil.form == "conditioned" else None
        state, info = step(
            state, shown, data.features.take(torch.from_numpy(p)), final[p, s], told,
            pair_scale=params.pair_loss, pair_tau=params.pair_tau,
        )  # fmt: skip
        yield info


def _aligned(pupil: NoiseAware, data: Trajectories, level: int) -> float:
    """Mean Spearman correlation inside held-out prompts at a level."""
    return mean_over_prompts(spearman(_scored(pupil, data, level), data.final))


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
    pupil.begin(level)
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
        pupil.score(shown[some].float() / 255, data.features.take(rows[some]), level)
        for some in torch.arange(len(rows)).split(SCORED_AT_ONCE)
    ]
    return torch.cat(parts).double().numpy().reshape(prompts, seeds)
