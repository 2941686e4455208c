"""Stage 12: noise-aware copies of R1 and R2 for the estimates of F at 20 steps (ttsnap.md 6.1).

    python -m engines.images.training.noise_aware train --reward r2 --minutes 40    # then r1
    python -m engines.images.training.noise_aware evaluate
    python -m engines.images.training.noise_aware export

One network a reward learns all steps at once from the trajectories that `trajectories` drew; it goes on where it was stopped.
Everything that had to be chosen was chosen on the tuning prompts; the held ones are only measured."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engines.devices import numpy_generator
from engines.images.choices import F, open_generator
from engines.images.embedded import GUIDANCE, STEPS
from engines.images.rewards.base import Features, Reward
from engines.images.rewards.loading import load_reward
from engines.images.training.loop import Average, Budget, add_budget, add_common, load, parse, train
from engines.images.training.noise_aware_card import card
from engines.images.training.trajectories import LEVELS, REWARDS, decoded, files, read_scored
from engines.images.ttsnap import weights_file
from engines.images.ttsnap.method.metrics import left_open, mean_over_prompts, residual, spearman
from engines.images.ttsnap.method.noise_aware import NoiseAware, inside_loss

LEARNT = 13
"""Steps 0 .. 12 are learnt together; which of them are shipped is decided on the tuning prompts."""
RATE, LEAST, WARM, AVERAGED = 3e-4, 0.05, 20, 0.99
SENTENCES, GROUP = 16, 8
"""Of a batch: groups of seeds of one sentence at one step, and their size."""
BETWEEN = 0.1
AT_ONCE = 64


@dataclass(frozen=True)
class Lessons:
    """Training trajectories of all sentences: `latents` float16 [N, LEVELS, C, h, w], `labels` [N] (the plain reward of the
    finished picture), `first` and `number` [P]: the rows of each sentence; `features` of the sentences."""

    latents: torch.Tensor
    labels: torch.Tensor
    first: NDArray[np.int64]
    number: NDArray[np.int64]
    features: Features

    def batch(self, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Rows, sentences and steps int64 [SENTENCES * GROUP]; a sentence comes up as often as it has seeds."""
        share = self.number / self.number.sum()
        sentences = rng.choice(len(share), SENTENCES, p=share)
        rows = [self.first[p] + rng.choice(self.number[p], GROUP, replace=False) for p in sentences]
        steps = rng.integers(0, LEARNT, SENTENCES).repeat(GROUP)
        taken = (np.concatenate(rows), sentences.repeat(GROUP), steps)
        return tuple(torch.from_numpy(a) for a in taken)  # type: ignore[return-value]


@torch.no_grad()
def read_lessons(folder: Path, reward: Reward) -> Lessons:
    """All training chunks that are there, labelled by a reward."""
    latents, labels, number, prompts = [], [], [], []
    for path, some in files(folder, "training"):
        chunk = np.load(path)
        seeds = chunk["final"].shape[1]
        pictures = torch.from_numpy(chunk["final"]).flatten(0, 1)
        told = reward.encode(some).take(torch.arange(len(some)).repeat_interleave(seeds))
        labels.append(scored(reward, pictures, told))
        latents.append(torch.from_numpy(chunk["latents"]).flatten(0, 1))
        number += [seeds] * len(some)
        prompts += some
    counts = np.array(number)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return Lessons(torch.cat(latents), torch.cat(labels), first, counts, reward.encode(prompts))


def scored(scorer: Any, pictures: torch.Tensor, features: Features, *level: int) -> torch.Tensor:
    """Scores [N] of pictures uint8 [N, 3, H, W] by a reward, or by a pupil at a level."""
    rows = torch.arange(len(pictures)).split(AT_ONCE)
    parts = [scorer.score(pictures[some].float() / 255, features.take(some), *level) for some in rows]
    return torch.cat(parts)


def spreads(folder: Path, name: str) -> NDArray[np.float64]:
    """What the plain score of each step leaves open of the final reward inside a prompt (standard deviation), tuning prompts:
    errors of a step are weighed by it, or the noisy steps would drown what the clean ones know."""
    _, data = read_scored(folder, "tuning")
    final = data[name][..., -1]
    return np.array([left_open(data[name][..., s], final) for s in range(LEARNT)])


def teach(args: argparse.Namespace) -> None:
    """Train one reward's pupil for `--minutes` CPU minutes."""
    reward = load_reward(args.reward)
    pupil = NoiseAware(reward, LEARNT, "conditioned")
    lessons = read_lessons(args.folder, reward)
    seen = {"trajectories": len(lessons.labels), "sentences": len(lessons.number)}
    (args.folder / f"noise-aware-{args.reward}.json").write_text(json.dumps(seen))
    weights = torch.from_numpy(spreads(args.folder, args.reward) ** -2.0).float()
    generator = open_generator(F, "cpu")

    def step(number: int, progress: float) -> dict[str, float]:
        rows, sentences, steps = lessons.batch(numpy_generator(args.seed, "lessons", args.reward, number))
        with torch.no_grad():
            pictures = decoded(generator, lessons.latents[rows, steps].float()).float() / 255
        predicted = pupil.score(pictures, lessons.features.take(sentences), steps)
        loss = inside_loss(predicted, lessons.labels[rows], GROUP, weights=weights[steps], between=BETWEEN)
        loss.backward()
        return {"loss": float(loss.detach())}

    average = {"pupil": Average(pupil, AVERAGED)}
    train(
        Budget.of(args, f"noise-aware-{args.reward}"),
        {"pupil": pupil},
        torch.optim.AdamW(pupil.trainable(), lr=RATE, weight_decay=0.01),
        step,
        schedule=lambda progress, n: min(1.0, (n + 1) / WARM) * (1 - (1 - LEAST) * progress),
        average=average,
        clip=5.0,
        report=lambda: {"gain": list(gains(args.folder, args.reward, average["pupil"].weights))},
        report_minutes=10,
    )


def opened(name: str, state: dict[str, torch.Tensor]) -> NoiseAware:
    """A pupil with the weights of a checkpoint."""
    pupil = NoiseAware(load_reward(name), LEARNT, "conditioned")
    pupil.load_state_dict(state)
    return pupil


@torch.no_grad()
def predictions(pupil: NoiseAware, prompts: list[str], pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Scores [P, S, LEARNT] of estimates uint8 [P, S, LEVELS + 1, 3, H, W]."""
    number, seeds = pictures.shape[:2]
    told = pupil.reward.encode(prompts).take(torch.arange(number).repeat_interleave(seeds))
    out = [scored(pupil, torch.from_numpy(pictures[:, :, s]).flatten(0, 1), told, s) for s in range(LEARNT)]
    return torch.stack(out, -1).double().numpy().reshape(number, seeds, LEARNT)


def gains(folder: Path, name: str, state: dict[str, torch.Tensor], seeds: int = 16) -> list[float]:
    """Noise-aware minus plain alignment on the tuning prompts, by step."""
    prompts, data = read_scored(folder, "tuning")
    data = {k: v[:, :seeds] for k, v in data.items()}
    scores = predictions(opened(name, state), prompts, data["pictures"])
    final = data[name][..., -1]
    return [
        round(aligned(scores[..., s], final) - aligned(data[name][..., s], final), 3) for s in range(LEARNT)
    ]


def aligned(scores: NDArray[Any], final: NDArray[Any]) -> float:
    """Mean over prompts of Spearman's correlation over seeds."""
    return round(mean_over_prompts(spearman(scores, final)), 3)


def evaluate(args: argparse.Namespace) -> None:
    """`figures.json`: alignment by step on tuning and on held prompts, the border, and the spread for the adaptive cut; and
    `tuning-<reward>.npz`, a table for the replay lab, in which schedules are searched."""
    figures: dict[str, Any] = {"spearman": {}, "tuning": {}, "residual": {}, "used": {}}
    trained = [name for name in REWARDS if (args.folder / f"noise-aware-{name}.pt").exists()]
    for name in trained:
        pupil = opened(name, load(args.folder / f"noise-aware-{name}.pt")["average"]["pupil"]["weights"])
        for part, key in (("tuning", "tuning"), ("held", "spearman")):
            prompts, data = read_scored(args.folder, part)  # type: ignore[arg-type]
            final, plain = data[name][..., -1], data[name][..., :LEVELS]
            scores = predictions(pupil, prompts, data["pictures"])
            rows = {"plain": [aligned(plain[..., s], final) for s in range(LEVELS)]}
            rows["aware"] = [aligned(scores[..., s], final) for s in range(LEARNT)]
            figures[key][name] = rows
            if part == "tuning":
                better = [a > p for a, p in zip(rows["aware"], rows["plain"], strict=False)]
                figures["used"][name] = better.index(False) if False in better else LEARNT
                figures["residual"][name] = [round(residual(scores[..., s], final), 4) for s in range(LEARNT)]
                np.savez(args.folder / f"tuning-{name}.npz", final=final, plain=plain, aware=scores)
            else:
                figures |= {"held": prompts, "seeds": int(final.shape[1])}
    (args.folder / "figures.json").write_text(json.dumps(figures, indent=1))
    print(json.dumps({k: figures[k] for k in ("tuning", "spearman", "used")}))


def export(args: argparse.Namespace) -> None:
    """R1 and R2, one model each for the steps at which it ranks the tuning prompts better, as fp16 safetensors in the weights
    folder, with figures and card."""
    folder = weights_file.SHIPPED
    folder.mkdir(parents=True, exist_ok=True)
    figures = json.loads((args.folder / "figures.json").read_text())
    generator = open_generator(F, "cpu")
    for name, used in figures["used"].items():
        reward = load_reward(name)
        about = weights_file.about_of(generator, reward, name=name, model=F, steps=STEPS, guidance=GUIDANCE)
        about["residual"] = figures["residual"][name][:used]
        checkpoint = load(args.folder / f"noise-aware-{name}.pt")
        figures.setdefault("lessons", {})[name] = json.loads(
            (args.folder / f"noise-aware-{name}.json").read_text()
        )
        figures.setdefault("minutes", {})[name] = round(checkpoint["spent_s"] / 60, 1)
        figures.setdefault("updates", {})[name] = checkpoint["step"]
        whole = opened(name, checkpoint["average"]["pupil"]["weights"])
        pupil = NoiseAware(reward, used, "conditioned")
        tensors = whole.tensors()
        pupil.restore({**tensors, "shift": tensors["shift"][:used]})
        weights_file.write(folder / f"{name}.safetensors", pupil, about, half=True)
    (folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    (folder / "README.md").write_text(card(figures))


def main() -> None:
    """Run a command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=("train", "evaluate", "export"))
    add_common(parser)
    add_budget(parser, 40.0)
    parser.add_argument("--reward", choices=REWARDS, default="r2")
    args = parse(parser)
    {"train": teach, "evaluate": evaluate, "export": export}[args.command](args)


if __name__ == "__main__":
    main()
