"""Stage 10: what the exported weights (fp16 files, run as fp32) reach on fresh prompts, judged by the checker.

Prints and writes `figures.json`: accuracy per task of F and G, trained and held-out captions; how often R1, R2
and their sum beat hard negatives on renders; AUC of each for "strictly right" on pictures of F and G; best-of-n
curves with the checker; agreement of fp16 with the fp32 checkpoints. About 5 CPU minutes."""

from __future__ import annotations

import argparse
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engines.images import embedded
from engines.images.training import r1, r2
from engines.images.training.f import final_stack
from engines.images.training.samples import caption_ids, checker_labels
from engines.images.training.sampling import Stack, accuracy, noise_of, one_step, prompts_for, sample

SEED = 2026
CURVE = (1, 2, 4, 8, 16, 32, 50)


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


def on_pictures(scores: Scores, pictures: torch.Tensor, places: np.ndarray) -> dict[str, Any]:
    """AUC against strict and Spearman's correlation with soft."""
    from scipy.stats import spearmanr

    strict, soft = checker_labels(pictures, places)
    values = scores.of(pictures, places)
    return {
        name: {
            "auc": round(auc(v, strict), 3),
            "spearman_soft": round(float(spearmanr(v, soft).statistic), 3),
        }
        for name, v in values.items()
    }


@torch.no_grad()
def best_of(scores: Scores, stack: Stack, per_task: int) -> dict[str, list[float]]:
    """Mean strict, soft and reward of the best of n pictures of G by the sum of both rewards, for n in CURVE."""
    places, _ = prompts_for(per_task, SEED + 1, held=False)
    rows = []
    for k, place in enumerate(places):
        repeated = np.repeat(place, max(CURVE))
        z = one_step(stack.unet, noise_of(len(repeated), SEED, f"best-{k}"), stack.embed(repeated))
        pictures = stack.decode(z)
        value = scores.of(pictures, repeated)["sum"]
        chosen = [int(value[:n].argmax()) for n in CURVE]
        strict, soft = checker_labels(pictures[chosen], repeated[: len(CURVE)])
        rows.append(np.stack([strict, soft, value[chosen]]))
    mean = np.mean(rows, axis=0)
    names = ("strict", "soft", "reward")
    curves: dict[str, list[float]] = {"n": list(CURVE)}
    return curves | {name: [round(float(v), 3) for v in row] for name, row in zip(names, mean, strict=True)}


@torch.no_grad()
def half_against_full(checkpoints: Path, half: Stack, g: Stack, run: str) -> dict[str, float]:
    """fp16 files against the fp32 checkpoints, same noise: mean difference of pictures, equal verdicts."""
    places, _ = prompts_for(20, SEED + 2, held=False)
    out = {}
    for name, small, full, steps in (
        ("F", half, final_stack(checkpoints), 20),
        ("G", g, final_stack(checkpoints, run), 1),
    ):
        a, b = draw(small, places, steps, SEED), draw(full, places, steps, SEED)
        same = checker_labels(a, places)[0] == checker_labels(b, places)[0]
        out[f"{name}_mean_difference"] = round(float((a - b).abs().mean()), 5)
        out[f"{name}_equal_verdicts"] = round(float(same.mean()), 3)
    return out


@torch.no_grad()
def variety(stack: Stack) -> float:
    """Standard deviation of pixels over 8 seeds, mean over 20 captions."""
    places, _ = prompts_for(3, SEED + 3, held=False)
    repeated = np.repeat(places[:20], 8)
    pictures = draw(stack, repeated, 1, SEED)
    return round(float(pictures.view(-1, 8, *pictures.shape[1:]).std(1).mean()), 4)


def generator_figures(weights: Path, checkpoints: Path, run: str, per_task: int, put: Any) -> None:
    """Accuracy per task of G and F, variety, fp16 against fp32."""
    g, f = exported(weights, one=True), exported(weights, one=False)
    for name, stack, steps, guidance in (("G", g, 1, 1.0), ("F", f, embedded.STEPS, embedded.GUIDANCE)):
        common = {"per_task": per_task, "seed": SEED, "steps": steps, "guidance": guidance}
        put(name, accuracy(stack, **common))
        put(f"{name} held out", accuracy(stack, **common, held=True))
    put("variety of G (pixel std over 8 seeds)", variety(g))
    put("fp16 against fp32", half_against_full(checkpoints, f, g, run))


def reward_figures(weights: Path, put: Any) -> None:
    """Hard negatives on renders, AUC on pictures of F and G, best-of-n curves."""
    g, f, scores = exported(weights, one=True), exported(weights, one=False), Scores(weights)
    places, _ = prompts_for(50, SEED + 4, held=False)
    pictures = {"G": draw(g, places, 1, SEED), "F": draw(f, places, embedded.STEPS, SEED)}
    scores.fit(pictures["G"], places)
    put("scale", {k: round(v, 4) for k, v in scores.scale.items()})
    for name, drawn in pictures.items():
        put(f"rewards on {name}", on_pictures(scores, drawn, places))
    put("best of n on G", best_of(scores, g, 12))
    for name in ("R1", "R2", "sum"):
        ask = partial(scores.pair, name)
        put(f"{name} beats hard negatives", r1.pair_accuracy(ask, SEED, 30))
        put(f"{name} beats hard negatives, held out", r1.pair_accuracy(ask, SEED, 30, held=True))


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="Measure the exported weights.")
    parser.add_argument("--folder", type=Path, default=Path("train-images"), help="the fp32 checkpoints")
    parser.add_argument("--weights", type=Path, default=embedded.WEIGHTS)
    parser.add_argument("--one-step", default="g")
    parser.add_argument("--per-task", type=int, default=100)
    parser.add_argument("--part", choices=("all", "generators", "rewards"), default="all")
    options = parser.parse_args()
    torch.set_num_threads(1)
    path = options.weights / "figures.json"
    out: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def put(name: str, value: Any) -> None:
        out[name] = value
        print(f"{time.process_time() / 60:5.1f} min  {name}: {json.dumps(value)}", flush=True)
        path.write_text(json.dumps(out, indent=1) + "\n")

    with torch.no_grad():
        if options.part != "rewards":
            generator_figures(options.weights, options.folder, options.one_step, options.per_task, put)
        if options.part != "generators":
            reward_figures(options.weights, put)


if __name__ == "__main__":
    main()
