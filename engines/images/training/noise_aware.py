"""Stage 12: noise-aware copies of R1 and R2 for the estimates of F at 20 steps (ttsnap.md 6.1).

    python -m engines.images.training.noise_aware trajectories    # F's estimates of every level, scored at the end
    python -m engines.images.training.noise_aware train --reward r2 --form conditioned
    python -m engines.images.training.noise_aware evaluate
    python -m engines.images.training.noise_aware export

Every command goes on where it was stopped: trajectories chunk by chunk, training level by level. The prompts of the
evaluation are never trained on."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engines.devices import numpy_generator, torch_generator
from engines.images.choices import F, open_generator
from engines.images.embedded import GUIDANCE, STEPS
from engines.images.rewards.base import Reward
from engines.images.rewards.loading import load_reward
from engines.images.training.loop import load, save
from engines.images.ttsnap import weights_file
from engines.images.ttsnap.method import heads
from engines.images.ttsnap.method.metrics import mean_over_prompts, residual, spearman
from engines.images.ttsnap.method.noise_aware import NoiseAware, curriculum, init, step
from engines.images.ttsnap.prompts import split

LEVELS = 15
"""Estimates after 1 .. 15 calls are learnt; later ones keep the plain reward, as in the paper."""
CHUNK = 12
RATE = 3e-4
BATCH = 32
REPLAY = 0.25
MIXED_BATCH, MIXED_RATE = 64, 1e-4
USED = {"r1": 6, "r2": 7}
"""Steps that each shipped reward knows: from here on the plain reward ranks held-out pictures better."""
REWARDS = ("r1", "r2")


@torch.no_grad()
def draw(prompts: list[str], seeds: int, name: str, seed: int) -> dict[str, np.ndarray]:
    """All trajectories of some prompts: `pictures` uint8 [P, S, LEVELS + 1, 3, 64, 64] (the last is the finished
    picture), `r1` and `r2` [P, S, LEVELS + 1] of the plain rewards."""
    generator = open_generator(F, "cpu")
    rewards = {k: load_reward(k) for k in REWARDS}
    conditioning = generator.encode(prompts, guided=True)
    rows = torch.arange(len(prompts)).repeat_interleave(seeds)
    noise = torch.randn(
        (len(rows), *generator.noise_shape), generator=torch_generator(seed, "trajectories", name)
    )
    state = generator.start(noise, conditioning.take(rows), steps=STEPS, guidance=GUIDANCE)
    features = {k: r.encode(prompts).take(rows) for k, r in rewards.items()}
    pictures: list[torch.Tensor] = []
    scores: dict[str, list[torch.Tensor]] = {k: [] for k in REWARDS}
    while not state.is_done:
        state = generator.advance(state)
        if state.index <= LEVELS or state.is_done:
            # four at a time stay in the cache: twice as fast as all at once
            decoded = torch.cat([generator.decode(part) for part in state.clean.split(4)])
            shown = (decoded * 255).round()
            for k, reward in rewards.items():
                scores[k].append(reward.score(shown / 255, features[k]))
            pictures.append(shown.to(torch.uint8))
    shape = (len(prompts), seeds)
    out = {"pictures": torch.stack(pictures, 1).numpy().reshape(*shape, LEVELS + 1, 3, 64, 64)}
    return out | {k: torch.stack(v, 1).numpy().reshape(*shape, LEVELS + 1) for k, v in scores.items()}


def trajectories(args: argparse.Namespace) -> None:
    """Chunks of prompts into `trajectories/`."""
    folder = args.folder / "trajectories"
    folder.mkdir(parents=True, exist_ok=True)
    taught, kept = split(args.seed, args.prompts, args.held)
    (folder / "prompts.json").write_text(json.dumps({"training": taught, "held": kept}, indent=1))
    for name, prompts, seeds in (("held", kept, args.held_seeds), ("training", taught, args.seeds)):
        starts = range(0, len(prompts), CHUNK)
        for start in reversed(starts) if args.backwards else starts:
            path = folder / f"{name}-{start:04d}.npz"
            if path.exists():
                continue
            part = draw(prompts[start : start + CHUNK], seeds, f"{name}-{start}", args.seed)
            partial = path.with_suffix(".partial.npz")
            np.savez(partial, **part)
            partial.replace(path)
            say(args.folder, stage=path.name, strict="", final_r2=round(float(part["r2"][..., -1].mean()), 3))


def read(folder: Path, name: str) -> tuple[list[str], dict[str, np.ndarray]]:
    """Prompts and joined arrays of the chunks of a part that are there."""
    known = json.loads((folder / "trajectories" / "prompts.json").read_text())[name]
    prompts, parts = [], []
    for start in range(0, len(known), CHUNK):
        path = folder / "trajectories" / f"{name}-{start:04d}.npz"
        if path.exists():
            prompts += known[start : start + CHUNK]
            parts.append(np.load(path))
    return prompts, {k: np.concatenate([p[k] for p in parts]) for k in ("pictures", *REWARDS)}


def train(args: argparse.Namespace) -> None:
    """The curriculum for one reward in one form; a checkpoint after each level."""
    reward = load_reward(args.reward)
    pupil = NoiseAware(reward, LEVELS, args.form)
    path = args.folder / f"{args.reward}-{args.form}.pt"
    finished = LEVELS
    if path.exists():
        stored = load(path)
        pupil.restore(stored["tensors"])
        finished = stored["finished"]
        if args.form == "levels":
            pupil.model.load_state_dict(pupil.weights[finished])
    prompts, data = read(args.folder, "training")
    if args.most:
        prompts, data = prompts[: args.most], {k: v[: args.most] for k, v in data.items()}
    features = reward.encode(prompts)
    for level in curriculum(LEVELS):
        if level >= finished:
            continue
        loss = one_level(pupil, level, data, features, args)
        save(path, {"tensors": pupil.tensors(), "finished": level})
        say(args.folder, stage=f"{args.reward}-{args.form}", level=level, loss=round(loss, 4))


def one_level(
    pupil: NoiseAware, level: int, data: dict[str, np.ndarray], features: Any, args: argparse.Namespace
) -> float:
    """`--epochs` passes over all trajectories at one level; in the conditioned form a quarter of each batch repeats
    levels that were learnt before. Returns the mean loss of the last quarter."""
    final = torch.from_numpy(data[args.reward][..., -1])
    number, seeds = final.shape
    rng = numpy_generator(args.seed, "batches", args.reward, args.form, level)
    orders = [rng.permutation(number * seeds) for _ in range(args.epochs)]
    rows = np.concatenate(orders)
    updates = len(rows) // BATCH
    state = init(pupil, level, updates=updates, rate=args.rate)
    losses = []
    for k in range(updates):
        chosen = rows[k * BATCH : (k + 1) * BATCH]
        at = np.full(BATCH, level)
        if args.form == "conditioned" and level < LEVELS - 1:
            repeated = rng.random(BATCH) < REPLAY
            at = np.where(repeated, rng.integers(level + 1, LEVELS, BATCH), at)
        p, s = chosen // seeds, chosen % seeds
        pictures = torch.from_numpy(data["pictures"][p, s, at]).float() / 255
        told = torch.from_numpy(at) if args.form == "conditioned" else None
        state, info = step(state, pictures, features.take(torch.from_numpy(p)), final[p, s], told)
        losses.append(info["loss"])
    return float(np.mean(losses[-max(1, len(losses) // 4) :]))


def train_mixed(args: argparse.Namespace) -> None:
    """One conditioned model on estimates of all levels in random order, `--epochs` times: no level is taught after another,
    so none is forgotten. The rate falls linearly to a twentieth."""
    reward = load_reward(args.reward)
    pupil = NoiseAware(reward, LEVELS, "conditioned")
    prompts, data = read(args.folder, "training")
    features = reward.encode(prompts)
    final = torch.from_numpy(data[args.reward][..., -1])
    seeds = final.shape[1]
    rng = numpy_generator(args.seed, "mixed", args.reward)
    rows = np.concatenate([rng.permutation(final.numel() * LEVELS) for _ in range(args.epochs)])
    updates = len(rows) // MIXED_BATCH
    state = init(pupil, 0, updates=updates, rate=MIXED_RATE, least=0.05)
    losses = []
    for k in range(updates):
        chosen = rows[k * MIXED_BATCH : (k + 1) * MIXED_BATCH]
        at, trajectory = chosen % LEVELS, chosen // LEVELS
        p, s = trajectory // seeds, trajectory % seeds
        pictures = torch.from_numpy(data["pictures"][p, s, at]).float() / 255
        told = torch.from_numpy(at)
        state, info = step(state, pictures, features.take(torch.from_numpy(p)), final[p, s], told)
        losses.append(info["loss"])
        if k % 100 == 99:
            say(
                args.folder,
                stage=f"{args.reward}-mixed",
                update=k + 1,
                loss=round(float(np.mean(losses[-100:])), 4),
            )
    save(args.folder / f"{args.reward}-mixed.pt", {"tensors": pupil.tensors(), "finished": 0})


@torch.no_grad()
def fit_heads(args: argparse.Namespace) -> None:
    """R2's last layers fitted to every level in closed form, from clean to noisy, into `r2-heads.pt`."""
    reward: Any = load_reward("r2")
    pupil = NoiseAware(reward, LEVELS, "levels")
    prompts, data = read(args.folder, "training")
    number, seeds = data["r2"].shape[:2]
    features = reward.encode(prompts)
    rows = torch.arange(number).repeat_interleave(seeds)
    for level in curriculum(LEVELS):
        pictures = data["pictures"][:, :, level].reshape(-1, 3, 64, 64)
        parts = []
        for start in range(0, len(rows), 128):
            some = slice(start, start + 128)
            shown = torch.from_numpy(pictures[some]).float() / 255
            parts.append(heads.states(reward, shown, features.take(rows[some])))
        h = torch.cat(parts).double().numpy().reshape(number, seeds, -1)
        final = data["r2"][..., -1].astype(np.float64)
        pupil.begin(level)
        head, strength = heads.fit(h, final, heads.head_of(pupil), numpy_generator(args.seed, "folds", level))
        heads.install(pupil, level, head)
        say(
            args.folder,
            stage="r2-heads",
            level=level,
            strength=strength,
            residual=round(residual(h @ head.weight, final), 4),
        )
    save(args.folder / "r2-heads.pt", {"tensors": pupil.tensors(), "finished": 0})


@torch.no_grad()
def predicted(pupil: NoiseAware | Reward, prompts: list[str], data: dict[str, np.ndarray]) -> np.ndarray:
    """Scores [P, S, LEVELS] of the held estimates."""
    reward = pupil.reward if isinstance(pupil, NoiseAware) else pupil
    features = reward.encode(prompts)
    number, seeds = data["r1"].shape[:2]
    rows = torch.arange(number).repeat_interleave(seeds)
    out = []
    for level in range(LEVELS):
        pictures = data["pictures"][:, :, level].reshape(-1, 3, 64, 64)
        parts = []
        for start in range(0, len(rows), 256):
            some = slice(start, start + 256)
            shown = torch.from_numpy(pictures[some]).float() / 255
            told = features.take(rows[some])
            parts.append(
                pupil.score(shown, told, level) if isinstance(pupil, NoiseAware) else pupil.score(shown, told)
            )
        out.append(torch.cat(parts).numpy().reshape(number, seeds))
    return np.stack(out, -1)


def evaluate(args: argparse.Namespace) -> None:
    """Alignment per level on held prompts into `figures.json`: plain, a model a level, one conditioned model; and the
    residual spread that the adaptive cut needs."""
    if not (args.folder / "r2-heads.pt").exists():
        fit_heads(args)
    prompts, data = read(args.folder, "held")
    figures: dict[str, Any] = {
        "held": prompts,
        "seeds": int(data["r1"].shape[1]),
        "trajectories": int(np.prod(read(args.folder, "training")[1]["r1"].shape[:2])),
        "spearman": {},
        "residual": {},
    }
    for name in REWARDS:
        final = data[name][..., -1]
        rows = {"plain": [correlation(data[name][..., s], final) for s in range(LEVELS)]}
        for form in ("conditioned", "levels", "heads", "mixed"):
            path = args.folder / f"{name}-{form}.pt"
            if not path.exists() or (args.forms and form not in args.forms):
                continue
            pupil = NoiseAware(
                load_reward(name), LEVELS, "conditioned" if form in ("conditioned", "mixed") else "levels"
            )
            pupil.restore(load(path)["tensors"])
            scores = predicted(pupil, prompts, data)
            rows[form] = [correlation(scores[..., s], final) for s in range(LEVELS)]
            # the last one read, the shipped one, says how far a prediction is off
            figures["residual"][name] = [round(residual(scores[..., s], final), 4) for s in range(LEVELS)]
        figures["spearman"][name] = rows
    (args.folder / "figures.json").write_text(json.dumps(figures, indent=1))
    print(json.dumps(figures["spearman"]))


def correlation(scores: np.ndarray, final: np.ndarray) -> float:
    """Mean over prompts of Spearman's correlation over seeds."""
    return round(mean_over_prompts(spearman(scores, final)), 3)


def export(args: argparse.Namespace) -> None:
    """R1 and R2, one model each for its first `USED` steps, as fp16 safetensors in the weights folder, with figures and card."""
    folder = weights_file.SHIPPED
    folder.mkdir(parents=True, exist_ok=True)
    figures = json.loads((args.folder / "figures.json").read_text())
    generator = open_generator(F, "cpu")
    for name in REWARDS:
        reward = load_reward(name)
        about = weights_file.about_of(generator, reward, name=name, model=F, steps=STEPS, guidance=GUIDANCE)
        about["residual"] = figures["residual"].get(name, [])[: USED[name]]
        tensors = dict(load(args.folder / f"{name}-mixed.pt")["tensors"])
        tensors["shift"] = tensors["shift"][: USED[name]]
        pupil = NoiseAware(reward, USED[name], "conditioned")
        pupil.restore(tensors)
        weights_file.write(folder / f"{name}.safetensors", pupil, about, half=True)
    (folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    (folder / "README.md").write_text(card(figures))


CARD = """# Noise-aware rewards for embedded-f

Copies of R1 and R2 that score F's clean estimates (20 steps, guidance 3, full decoder): from the estimate after s + 1 calls they
predict what the plain reward says of the finished picture of the same seed. R1 does so for steps 0 .. {last_r1}, R2 for steps
0 .. {last_r2}; later steps use the plain reward. Made by `engines/images/training/noise_aware.py`; no outside data, no outside
weights. Licence: as the package (MIT).

One network for all steps, told the step by a vector that is added to every token of its picture tower. Start: the plain reward.
{trajectories} trajectories, their estimates of 15 steps in random order, once; mean squared error to the raw reward; AdamW 1e-4
falling to a twentieth, weight decay .01, clip 5, batch 64. R1's text side is untouched. One training seed.

Files are fp16 safetensors; the header holds sampler, guidance, reward and a fingerprint of network, decoder and reward, and
`engines.images.ttsnap.weights_file` refuses them for any other. `figures.json` has all figures and the {held} held-out prompts.

Mean Spearman correlation with the final reward inside a prompt, {held} held-out prompts x {seeds} seeds:

{table}
- "all steps at once" is what is shipped, up to the step from which the plain reward ranks better. That border was read off this
  table, so on the held-out prompts.
- "curriculum" is the paper's order, clean to noisy, in one network (AdamW 3e-4, a quarter of replay): here the noisy steps
  undid what the clean ones had learnt. "last layers": only R2's last layers, fitted in closed form to each step.
- Not tried for lack of time: a checkpoint a step at this scale, more than one pass, more trajectories (the paper has 40,000),
  a loss inside prompts. The training experiment offers most of it.
"""


def card(figures: dict[str, Any]) -> str:
    """The model card, with its figures."""
    lines = []
    for name, rows in figures["spearman"].items():
        lines += [f"| {name.upper()}, step | " + " | ".join(map(str, range(LEVELS))) + " |"]
        lines += ["|" + "---|" * (LEVELS + 1)]
        words = {
            "plain": "plain",
            "heads": "last layers",
            "conditioned": "curriculum",
            "mixed": "all steps at once",
        }
        lines += [
            f"| {words[form]} | " + " | ".join(f"{v:.2f}" for v in values) + " |"
            for form, values in rows.items()
        ]
        lines += [""]
    return CARD.format(
        last_r1=USED["r1"] - 1, last_r2=USED["r2"] - 1, held=len(figures["held"]), seeds=figures["seeds"], trajectories=f"{figures['trajectories']:,}",
        table="\n".join(lines),
    )  # fmt: skip


def say(folder: Path, **values: Any) -> None:
    """A line of the log, also printed."""
    line = {"cpu_min": round(time.process_time() / 60, 2), **values, "clock": time.strftime("%H:%M:%S")}
    with open(folder / "noise-aware.log", "a") as file:
        file.write(json.dumps(line) + "\n")
    print(json.dumps(line), flush=True)


def main() -> None:
    """Run a command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=("trajectories", "train", "evaluate", "export"))
    parser.add_argument("--folder", type=Path, default=Path("train-images"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--prompts", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--held", type=int, default=48)
    parser.add_argument("--held-seeds", type=int, default=24)
    parser.add_argument("--reward", choices=REWARDS, default="r2")
    parser.add_argument("--form", choices=("levels", "conditioned", "mixed"), default="mixed")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument(
        "--forms", nargs="*", default=[], help="forms to evaluate (default: all that are there)"
    )
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--most", type=int, default=0, help="training prompts used, 0 for all that are drawn")
    parser.add_argument(
        "--backwards", action="store_true", help="trajectories from the last chunk: a second process helps"
    )
    args = parser.parse_args()
    torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS", "1"))))
    teach = train_mixed if args.form == "mixed" else train
    {"trajectories": trajectories, "train": teach, "evaluate": evaluate, "export": export}[args.command](args)


if __name__ == "__main__":
    main()
