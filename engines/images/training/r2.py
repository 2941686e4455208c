"""R2: ImageReward's shape, a text tower that looks at the picture's tokens.

    --name r2-words               words and patches learn their roles (2 CPU minutes)
    --start r2-words              on renders with exact truth (5 CPU minutes)
    --name r2-second --start r2   half on pictures of F and G labelled by the checker (5 CPU minutes)

The picture tower starts from R1's. Auxiliary heads, dropped at the end, make each word's state show the role of
its object ("left:red circle") and each patch the role of the object it lies on: from there a relation is a match
of the two, which the loss can find. Without the first step relations stood at chance for four CPU minutes."""

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
from engines.images.training.architecture import attention_mask, make_r1, make_r2
from engines.images.training.loop import Average, Budget, arguments, flat_then_cosine, numbers, train, weights
from engines.images.training.r1 import features_loss, pair_accuracy, patch_loss, read_pool, role_loss
from engines.images.training.semantics import FEATURES, PLACED, token_table
from engines.images.world import held_out, training_captions

ROLES_MIX = {
    "single": 0.05,
    "two": 0.1,
    "count": 0.15,
    "color": 0.05,
    "position": 0.3,
    "attr": 0.1,
    "full": 0.25,
}
CAPTIONS = 8
"""Captions a picture: its own, another true one, five hard negatives, one at random."""


class Heads(nn.Module):
    """Auxiliary readers of R2's states; not exported."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Linear(96, FEATURES)
        self.patches = nn.Linear(96, 4 + 6 + 2)
        self.roles = nn.Linear(96, PLACED)


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
    values = numbers(entropy=entropy, pairs=pairs)
    if aid > 0:
        features, known = (torch.from_numpy(v[captions.ravel()]) for v in token_table())
        words = features_loss(heads.words(states)[known], features[known])
        roles = role_loss(heads.roles, tokens[:, 1:], batch)
        seen = patch_loss(heads.patches, tokens[:, 1:], batch)
        loss = loss + aid * (0.1 * words + 0.1 * roles + 0.5 * seen)
        values |= numbers(roles=roles, words=words)
    return loss, values


def teach(
    model: BlipReward, heads: Heads, teacher: nn.Module, rng: np.random.Generator
) -> tuple[torch.Tensor, dict[str, float]]:
    """The stage before the rewards' own loss: the words' states learn their roles without any picture, the
    picture tower learns to show what R1's shows (its states, layer-normalised) and the roles on the patches."""
    rows = rng.choice(training_captions(), size=192, replace=False)
    ids = samples.caption_ids()[rows]
    states = model.text_tokens(ids, attention_mask(ids), torch.zeros(len(rows), 1, 96))
    features, known = (torch.from_numpy(v[rows]) for v in token_table())
    words = features_loss(heads.words(states)[known], features[known])
    batch = samples.renders(rng, 48, ROLES_MIX)
    pixels = samples.pixels(samples.degrade(rng, batch.pictures))
    with torch.no_grad():
        shown = functional.layer_norm(teacher.vision_model(pixel_values=pixels).last_hidden_state, (96,))
    tokens = model.picture_tokens(pixels)
    like = functional.mse_loss(tokens, shown)
    roles = role_loss(heads.roles, tokens[:, 1:], batch)
    seen = patch_loss(heads.patches, tokens[:, 1:], batch)
    loss = 0.1 * words + 3 * like + 0.1 * roles + 0.5 * seen
    return loss, numbers(words=words, like=like, roles=roles, patch=seen)


def scorer(model: BlipReward) -> Any:
    """`score(pictures, ids)` of R2."""

    def score(pictures: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        return model(samples.pixels(pictures), ids, attention_mask(ids))

    return score


def main() -> None:
    """Train R2."""
    options = arguments("Train R2.", 10.0, is_staged=True)
    torch.manual_seed(options.seed)
    model, heads = make_r2(), Heads()
    name = options.name or "r2"
    pool = None
    words_only = name == "r2-words"
    if options.start and words_only:  # only the picture tower
        state = weights(options.folder, options.start, "model")
        model.load_state_dict({k: v for k, v in state.items() if k.startswith("vision_model")}, strict=False)
    elif options.start:
        model.load_state_dict(weights(options.folder, options.start, "model"))
        heads.load_state_dict(weights(options.folder, options.start, "heads"))
    elif words_only:
        model.vision_model.load_state_dict(from_r1(weights(options.folder, "r1", "model")))
    if name.endswith("second"):
        pool = read_pool(options.folder)
        if pool is None:
            sys.exit("Stage 2 needs pictures: run engines.images.training.pictures first.")
    teacher = make_r1().eval().requires_grad_(False)
    teacher.load_state_dict(weights(options.folder, "r1", "model"))
    text = [*model.text_encoder.parameters(), *heads.words.parameters()]
    known = {id(p) for p in text}
    rest = [p for p in [*model.parameters(), *heads.parameters()] if id(p) not in known]
    rate = 5e-4 if pool else 1e-3
    groups = [{"params": rest, "lr": rate}, {"params": text, "lr": 3e-3 if words_only else rate}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.02)

    def step(number: int, progress: float) -> dict[str, float]:
        rng = numpy_generator(options.seed, name, number)
        if words_only:
            loss, values = teach(model, heads, teacher, rng)
            loss.backward()
            return values
        batch = samples.renders(rng, 18 if pool else 40, None if pool else ROLES_MIX)
        if pool is not None:
            batch = samples.join(batch, pool.take(rng.integers(0, len(pool), 22)))
        loss, values = loss_of(model, heads, rng, batch, aid=max(0.2, 1 - 1.2 * progress))
        loss.backward()
        return values

    average = {"model": Average(model, 0.998)}

    def report() -> dict[str, Any]:
        plain = make_r2().eval()
        plain.load_state_dict(average["model"].weights)
        return {"pairs": pair_accuracy(scorer(plain)), "held": pair_accuracy(scorer(plain), held=True)}

    train(
        Budget.of(options, name),
        {"model": model, "heads": heads},
        optimizer,
        step,
        schedule=lambda p, n: flat_then_cosine(p, n, warm=50, flat=0.4, end=0.01),
        average=average,
        report=None if words_only else report,
        report_minutes=2.0,
    )


if __name__ == "__main__":
    main()
