"""R2: ImageReward's shape, a text tower that looks at the picture's tokens. Stage 1 on renders (10 CPU minutes),
stage 2 (`--name r2-second --start r2`) half on pictures of F and G labelled by the checker.

The picture tower starts from R1's. Two auxiliary heads, dropped at the end, make each word's state show the role
of its object ("left:red circle") and each patch the object it lies on: from there a relation is a comparison of
the two, which the loss can find."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from engines.devices import numpy_generator
from engines.images.rewards.blip_reward import BlipReward
from engines.images.training import samples
from engines.images.training.architecture import attention_mask, make_r2
from engines.images.training.loop import Average, Budget, arguments, flat_then_cosine, train, weights
from engines.images.training.r1 import features_loss, pair_accuracy, patch_loss, read_pool
from engines.images.training.semantics import FEATURES, token_table
from engines.images.world import held_out, training_captions

CAPTIONS = 8
"""Captions a picture: its own, another true one, five hard negatives, one at random."""


class Heads(nn.Module):
    """Auxiliary readers of R2's states; not exported."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Linear(96, FEATURES)
        self.patches = nn.Linear(96, 4 + 6 + 2)


def from_r1(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """R1's picture tower in the names of BlipVisionModel. CLIP's first layer norm has no place there and is
    dropped, so this is a start and not a copy."""
    out = {}
    for key, value in state.items():
        if not key.startswith("vision_model."):
            continue
        name = key.removeprefix("vision_model.")
        if name == "embeddings.class_embedding":
            out["embeddings.class_embedding"] = value[None, None]
        elif name == "embeddings.position_embedding.weight":
            out["embeddings.position_embedding"] = value[None]
        elif name == "embeddings.patch_embedding.weight":
            out[name] = value
            out["embeddings.patch_embedding.bias"] = torch.zeros(len(value))
        elif name.startswith("post_layernorm"):
            out[name] = value
        elif ".self_attn.out_proj." in name:
            out[name.replace("out_proj", "projection")] = value
        elif ".self_attn.q_proj." in name:
            parts = [state[key.replace("q_proj", f"{p}_proj")] for p in "qkv"]
            out[name.replace("q_proj", "qkv")] = torch.cat(parts)
        elif ".self_attn." not in name and name.startswith("encoder."):
            out[name] = value
    return out


def choose(rng: np.random.Generator, batch: samples.Batch) -> tuple[np.ndarray, np.ndarray]:
    """Captions [N, 8] for each picture, and soft targets [N, 8]. Held-out captions never count as true."""
    held = set(held_out())
    pool = np.array(training_captions())
    captions = np.empty((len(batch.places), CAPTIONS), dtype=np.int64)
    target = np.empty(captions.shape, dtype=np.float32)
    for row, own in enumerate(batch.places):
        true = [int(i) for i in np.flatnonzero(batch.truth[row]) if int(i) not in held]
        base = int(true[rng.integers(len(true))]) if true else int(own)
        some = [int(own), base, *samples.negatives(rng, base, 5)]
        while len(some) < CAPTIONS:
            some.append(int(pool[rng.integers(len(pool))]))
        captions[row] = some[:CAPTIONS]
        target[row] = [samples.softly(batch, row, i) for i in some[:CAPTIONS]]
    return captions, target


def loss_of(
    model: BlipReward, heads: Heads, rng: np.random.Generator, batch: samples.Batch, aid: float
) -> tuple[torch.Tensor, dict[str, float]]:
    """Binary cross-entropy to the targets, a logistic loss on pairs of one picture, and the aids."""
    captions, wanted = choose(rng, batch)
    target = torch.from_numpy(wanted)
    tokens = model.picture_tokens(samples.pixels(samples.degrade(rng, batch.pictures)))
    ids = samples.caption_ids()[captions]
    states = model.packed_text_tokens(ids, attention_mask(ids), tokens)
    score = model.mlp(states[:, 0]).view(-1, CAPTIONS)
    entropy = functional.binary_cross_entropy_with_logits(score, target * 0.94 + 0.03)
    ahead = (target[:, :, None] - target[:, None, :]) > 0.1
    gap = score[:, :, None] - score[:, None, :]
    pairs = functional.softplus(-gap[ahead]).mean() if ahead.any() else score.sum() * 0
    loss = 2 * entropy + pairs
    values = {"entropy": float(entropy), "pairs": float(pairs)}
    if aid > 0:
        features, known = (torch.from_numpy(v[captions.ravel()]) for v in token_table())
        words = features_loss(heads.words(states)[known], features[known])
        loss = loss + aid * (0.05 * words + 0.5 * patch_loss(heads.patches, tokens[:, 1:], batch))
        values["words"] = float(words)
    return loss, values


def scorer(model: BlipReward) -> Any:
    """`score(pictures, ids)` of R2."""

    def score(pictures: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        return model(samples.pixels(pictures), ids, attention_mask(ids))

    return score


def main() -> None:
    """Train R2."""
    options = arguments("Train R2.", 10.0)
    torch.manual_seed(options.seed)
    model, heads = make_r2(), Heads()
    name = options.name or "r2"
    pool = None
    if options.start:
        model.load_state_dict(weights(options.folder, options.start, "model"))
        heads.load_state_dict(weights(options.folder, options.start, "heads"))
        pool = read_pool(options.folder)
        if pool is None:
            sys.exit("Stage 2 needs pictures: run engines.images.training.pictures first.")
    else:
        model.vision_model.load_state_dict(from_r1(weights(options.folder, "r1", "model")))
    optimizer = torch.optim.AdamW(
        [*model.parameters(), *heads.parameters()],
        lr=5e-4 if pool else 1.2e-3,
        betas=(0.9, 0.98),
        weight_decay=0.02,
    )

    def step(number: int, progress: float) -> dict[str, float]:
        rng = numpy_generator(options.seed, name, number)
        batch = samples.renders(rng, 18 if pool else 40)
        if pool is not None:
            batch = samples.join(batch, pool.take(rng.integers(0, len(pool), 22)))
        loss, values = loss_of(model, heads, rng, batch, aid=max(0.0, 1 - 1.5 * progress))
        loss.backward()
        return values

    average = {"model": Average(model, 0.998)}

    def report() -> dict[str, Any]:
        plain = make_r2().eval()
        plain.load_state_dict(average["model"].weights)
        return {"pairs": pair_accuracy(scorer(plain)), "held": pair_accuracy(scorer(plain), held=True)}

    train(
        Budget(name, options.folder, options.minutes),
        {"model": model, "heads": heads},
        optimizer,
        step,
        schedule=lambda p, n: flat_then_cosine(p, n, warm=100, flat=0.4, end=0.01),
        average=average,
        report=report,
        report_minutes=2.0,
    )


if __name__ == "__main__":
    main()
