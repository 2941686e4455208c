"""Stage 10: what the exported weights (fp16 files, run as fp32) reach, judged by the checker.

    python -m engines.images.training.evaluate --seed 7043 --per-task 100

Prints and writes `figures.json`: accuracy per task of F and G, trained and held-out captions; how often R1, R2
and their sum beat hard negatives on renders; AUC of each for "strictly right" on pictures of F and G; best-of-n
curves with the checker, all with their number and 95 % intervals; and, where `--folder` has the fp32 checkpoints,
the agreement of the fp16 files with them. About 4 CPU minutes."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engines.images import embedded
from engines.images.training import r1, r2
from engines.images.training.f import final_stack
from engines.images.training.intervals import of_share, of_statistic, over_tasks
from engines.images.training.samples import caption_ids, checker_labels
from engines.images.training.sampling import Stack, judged, noise_of, one_step, prompts_for, sample

SEED = 7043
"""First looked at when all was chosen and trained; 2026, of the figures before, was seen before the last stages."""
CURVE = (1, 2, 4, 8, 16, 32, 50)
RISE = (8, 50)
CURVE_PROMPTS, RENDERS, PICTURES = 40, 100, 100
"""A task: prompts of best-of-n, renders of hard negatives, pictures of the rewards' AUC."""
Put = Callable[[str, Any], None]


def exported(folder: Path, *, one: bool) -> Stack:
    """The exported stack in the form of the training scripts."""
    pipeline = embedded.load_stack(one_step=one, folder=folder).pipeline
    return Stack(pipeline.unet, pipeline.text_encoder, pipeline.vae)


class Scores:
    """R1, R2 and their sum in standard deviations over plain pictures of G."""

    def __init__(self, folder: Path) -> None:
        one, two = embedded.load_r1(folder)[0], embedded.load_r2(folder)[0]
        self.single = {"R1": r1.scorer(one), "R2": r2.scorer(two)}
        self.scale = {"R1": 1.0, "R2": 1.0}

    def fit(self, pictures: torch.Tensor, places: np.ndarray) -> None:
        """Take the standard deviations from these pictures."""
        for name, values in self.of(pictures, places).items():
            if name in self.scale:
                self.scale[name] = float(values.std()) * self.scale[name]

    @torch.no_grad()
    def pair(self, name: str, pictures: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """Score of pictures and captions by one reward or by "sum"."""
        if name == "sum":
            return self.pair("R1", pictures, ids) + self.pair("R2", pictures, ids)
        parts = [
            self.single[name](pictures[k : k + 200], ids[k : k + 200]) / self.scale[name]
            for k in range(0, len(ids), 200)
        ]
        return torch.cat(parts)

    def of(self, pictures: torch.Tensor, places: np.ndarray) -> dict[str, np.ndarray]:
        """R1, R2 and the sum of pictures with the captions they were made for."""
        ids = caption_ids()[places]
        out = {name: self.pair(name, pictures, ids).numpy() for name in self.single}
        return {**out, "sum": out["R1"] + out["R2"]}


def auc(score: np.ndarray, right: np.ndarray) -> float:
    """Chance that a right picture scores above a wrong one."""
    from scipy.stats import rankdata

    n = int(right.sum())
    ranks = rankdata(score)
    return float((ranks[right].sum() - n * (n + 1) / 2) / (n * (len(right) - n)))


@torch.no_grad()
def draw(stack: Stack, places: np.ndarray, steps: int, seed: int) -> torch.Tensor:
    """Pictures of the captions, one each."""
    noise, parts = noise_of(len(places), seed, f"evaluate-{steps}"), []
    for start in range(0, len(places), 100):
        some = slice(start, start + 100)
        embeds = stack.embed(places[some])
        z = (
            one_step(stack.unet, noise[some], embeds)
            if steps == 1
            else sample(stack, noise[some], embeds, steps=steps)
        )
        parts.append(stack.decode(z))
    return torch.cat(parts)


def accuracy(stack: Stack, **options: Any) -> dict[str, Any]:
    """Strict accuracy per task, the means over tasks of strict and soft, and their intervals. Options as of `judged`."""
    strict, soft, tasks = judged(stack, **options)
    out: dict[str, Any] = {"a task": options["per_task"]}
    interval: dict[str, Any] = {}
    for task in dict.fromkeys(tasks.tolist()):
        hits = strict[tasks == task]
        out[task], interval[task] = round(float(hits.mean()), 3), of_share(hits)
    for name, values in (("strict", strict), ("soft", soft)):
        out[name], interval[name] = over_tasks(values, tasks)
    return {**out, "interval": interval}


def on_pictures(scores: Scores, pictures: torch.Tensor, places: np.ndarray, seed: int) -> dict[str, Any]:
    """AUC against strict and Spearman's correlation with soft."""
    from scipy.stats import spearmanr

    strict, soft = checker_labels(pictures, places)
    out: dict[str, Any] = {"pictures": len(places)}
    for name, values in scores.of(pictures, places).items():
        of = {
            "auc": lambda rows, v=values: auc(v[rows], strict[rows]),
            "spearman_soft": lambda rows, v=values: float(spearmanr(v[rows], soft[rows]).statistic),
        }
        row = {key: round(rule(np.arange(len(values))), 3) for key, rule in of.items()}
        out[name] = row | {
            f"{key}_interval": of_statistic(rule, len(values), seed) for key, rule in of.items()
        }
    return out


def chances(number: int, n: int) -> NDArray[np.float64]:
    """How likely the picture of each rank (best first) of `number` is the best of a random choice of `n`."""
    return np.array([comb(number - rank, n - 1) for rank in range(1, number + 1)]) / comb(number, n)


@torch.no_grad()
def best_of(scores: Scores, stack: Stack, per_task: int, seed: int) -> dict[str, Any]:
    """Strict, soft and reward of the best of n pictures of G by the sum of both rewards, for n in CURVE: expected over
    all choices of n out of the largest number, means over prompts and tasks."""
    places, tasks = prompts_for(per_task, seed + 1, held=False)
    number = max(CURVE)
    weights = np.stack([chances(number, n) for n in CURVE])
    rows = []
    for k, place in enumerate(places):
        repeated = np.repeat(place, number)
        z = one_step(stack.unet, noise_of(number, seed, f"best-{k}"), stack.embed(repeated))
        pictures = stack.decode(z)
        value = scores.of(pictures, repeated)["sum"]
        order = np.argsort(-value, kind="stable")
        labels = np.stack([*checker_labels(pictures, repeated), value]).astype(np.float64)
        rows.append(labels[:, order] @ weights.T)
    found = np.stack(rows)  # [prompts, strict soft reward, n]
    out: dict[str, Any] = {"n": list(CURVE), "prompts": len(places)}
    for k, name in enumerate(("strict", "soft", "reward")):
        cells = [over_tasks(found[:, k, i], tasks) for i in range(len(CURVE))]
        out[name], out[f"{name} interval"] = ([cell[i] for cell in cells] for i in (0, 1))
    few, many = (CURVE.index(n) for n in RISE)
    mean, interval = over_tasks(found[:, 0, many] - found[:, 0, few], tasks)
    return out | {"rise of strict": {"from": RISE[0], "to": RISE[1], "mean": mean, "interval": interval}}


@torch.no_grad()
def half_against_full(checkpoints: Path, weights: Path, run: str, seed: int) -> dict[str, Any]:
    """fp16 files against the fp32 checkpoints, same noise: mean difference of pictures, equal verdicts."""
    places, _ = prompts_for(20, seed + 2, held=False)
    out: dict[str, Any] = {"pictures": len(places), "seed": seed}
    for name, full, steps in (
        ("F", final_stack(checkpoints), embedded.STEPS),
        ("G", final_stack(checkpoints, run), 1),
    ):
        small = exported(weights, one=steps == 1)
        a, b = draw(small, places, steps, seed), draw(full, places, steps, seed)
        same = checker_labels(a, places)[0] == checker_labels(b, places)[0]
        out[f"{name}_mean_difference"] = round(float((a - b).abs().mean()), 5)
        out[f"{name}_equal_verdicts"] = round(float(same.mean()), 3)
    return out


@torch.no_grad()
def variety(stack: Stack, seed: int) -> float:
    """Standard deviation of pixels over 8 seeds, mean over 20 captions."""
    places, _ = prompts_for(3, seed + 3, held=False)
    repeated = np.repeat(places[:20], 8)
    pictures = draw(stack, repeated, 1, seed)
    return round(float(pictures.view(-1, 8, *pictures.shape[1:]).std(1).mean()), 4)


def generator_figures(options: argparse.Namespace, put: Put) -> None:
    """Accuracy per task of G and F, and variety."""
    g, f = exported(options.weights, one=True), exported(options.weights, one=False)
    for name, stack, steps, guidance in (("G", g, 1, 1.0), ("F", f, embedded.STEPS, embedded.GUIDANCE)):
        common = {"per_task": options.per_task, "seed": options.seed, "steps": steps, "guidance": guidance}
        put(name, accuracy(stack, **common))
        put(f"{name} held out", accuracy(stack, **common, held=True))
    put("variety of G (pixel std over 8 seeds)", variety(g, options.seed))


def reward_figures(options: argparse.Namespace, put: Put) -> None:
    """Hard negatives on renders, AUC on pictures of F and G, best-of-n curves."""
    weights, seed = options.weights, options.seed
    g, f, scores = exported(weights, one=True), exported(weights, one=False), Scores(weights)
    places, _ = prompts_for(PICTURES, seed + 4, held=False)
    pictures = {"G": draw(g, places, 1, seed), "F": draw(f, places, embedded.STEPS, seed)}
    scores.fit(pictures["G"], places)
    put("scale", {k: round(v, 4) for k, v in scores.scale.items()})
    for name, drawn in pictures.items():
        put(f"rewards on {name}", on_pictures(scores, drawn, places, seed))
    put("renders a task", RENDERS)
    for name in ("R1", "R2", "sum"):
        ask = partial(scores.pair, name)
        put(f"{name} beats hard negatives", r1.pair_accuracy(ask, seed, RENDERS))
        put(f"{name} beats hard negatives, held out", r1.pair_accuracy(ask, seed, RENDERS, held=True))
    put("best of n on G", best_of(scores, g, CURVE_PROMPTS, seed))


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="Measure the exported weights.")
    parser.add_argument("--folder", type=Path, default=Path("train-images"), help="the fp32 checkpoints")
    parser.add_argument("--weights", type=Path, default=embedded.WEIGHTS)
    parser.add_argument("--one-step", default="g")
    parser.add_argument("--per-task", type=int, default=100)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--part", choices=("all", "generators", "rewards", "half"), default="all")
    options = parser.parse_args()
    torch.set_num_threads(1)
    path = options.weights / "figures.json"
    out: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def put(name: str, value: Any) -> None:
        out[name] = value
        print(f"{time.process_time() / 60:5.1f} min  {name}: {json.dumps(value)}", flush=True)
        path.write_text(json.dumps(out, indent=1) + "\n")

    put("seed", options.seed)
    with torch.no_grad():
        if options.part in ("all", "generators"):
            generator_figures(options, put)
        if options.part in ("all", "rewards"):
            reward_figures(options, put)
        if (options.folder / "f.pt").exists() and options.part in ("all", "half"):
            found = half_against_full(options.folder, options.weights, options.one_step, options.seed)
            put("fp16 against fp32", found)


if __name__ == "__main__":
    main()
