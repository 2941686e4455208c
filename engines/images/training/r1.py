"""R1: a CLIP model that reads relations. Stage 1 on fresh renders (12 CPU minutes), stage 2 (`--stage 2`) half
on pictures of F and G, of searches too, labelled by the checker.

Contrast over a few hundred captions a step with every other true caption masked, plus a sigmoid loss that keeps
scores comparable between pictures. Auxiliary heads, dropped at the end, make the towers show the features of
`semantics.py`: with them the relations are learnt like colours; without them they stay at chance."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from engines.devices import numpy_generator
from engines.images.training import samples
from engines.images.training.architecture import make_r1
from engines.images.training.loop import Average, Budget, arguments, flat_then_cosine, numbers, train, weights
from engines.images.training.semantics import (
    FEATURES,
    PLACED,
    feature_table,
    patch_labels,
    patch_roles,
    prefix_table,
    scene_features,
)
from engines.images.world import (
    TASKS,
    draw_captions,
    draw_scenes,
    hard_negatives,
    held_out,
    relation_variants,
    render,
    training_captions,
    truth_table,
)


class Heads(nn.Module):
    """Auxiliary readers of R1's states; not exported."""

    def __init__(self, width_text: int = 64, width_vision: int = 96, embedding: int = 64) -> None:
        super().__init__()
        self.text_tokens = nn.Linear(width_text, FEATURES)
        self.text = nn.Linear(embedding, FEATURES)
        self.picture = nn.Linear(embedding, FEATURES)
        self.patches = nn.Linear(width_vision, 4 + 6 + 2)
        self.roles = nn.Linear(width_vision, PLACED)
        self.bias = nn.Parameter(torch.tensor(-5.0))


def embed_text(model: nn.Module, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Projected embedding [N, 64] and token states [N, 12, width]."""
    out = model.text_model(input_ids=ids)
    return model.text_projection(out.pooler_output), out.last_hidden_state


def embed_pictures(model: nn.Module, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Projected embedding [N, 64] and patch states [N, 64, 96] of pictures in 0..1."""
    out = model.vision_model(pixel_values=samples.pixels(pictures))
    return model.visual_projection(out.pooler_output), out.last_hidden_state[:, 1:]


def patch_loss(head: nn.Module, states: torch.Tensor, batch: samples.Batch) -> torch.Tensor:
    """Shape, colour and offset of the object on each patch; unclear pictures have none."""
    rows = torch.from_numpy(np.flatnonzero(batch.clear))
    if not len(rows):
        return states.sum() * 0
    shape, color, offset = patch_labels(batch.scenes.take(rows.numpy()))
    out = head(states[rows])
    there = torch.from_numpy(shape < 3)
    loss = functional.cross_entropy(out[..., :4].flatten(0, 1), torch.from_numpy(shape).flatten())
    loss = loss + functional.cross_entropy(out[..., 4:10].flatten(0, 1), torch.from_numpy(color).flatten())
    return loss + functional.smooth_l1_loss(out[..., 10:][there], torch.from_numpy(offset)[there])


def features_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Sum over features of the binary cross-entropy, mean over the rest."""
    return functional.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(-1).mean()


def contrast(logits: torch.Tensor, truth: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the picture's own caption (column `own`) against all false ones. Rows whose own
    caption is not true are left out. logits, truth [N, C]."""
    rows = truth.gather(1, own[:, None])[:, 0]
    if not rows.any():
        return logits.sum() * 0
    masked = logits.masked_fill(truth, float("-inf"))
    positive = logits.gather(1, own[:, None])
    both = torch.cat([positive, masked], dim=1)[rows]
    return (torch.logsumexp(both, 1) - positive[rows, 0]).mean()


def choose_captions(rng: np.random.Generator, batch: samples.Batch, more: int) -> np.ndarray:
    """Candidates of a step: own captions, three hard negatives each, `more` random ones."""
    chosen = {int(p) for p in batch.places}
    for place in batch.places:
        chosen.update(samples.negatives(rng, int(place), 3))
    chosen.update(int(i) for i in rng.choice(training_captions(), size=more, replace=False))
    return np.array(sorted(chosen - set(held_out())))


def role_loss(head: nn.Module, states: torch.Tensor, batch: samples.Batch) -> torch.Tensor:
    """Role and kind of the object on each patch, in clear pictures of two objects."""
    rows = np.flatnonzero(batch.clear & (batch.scenes.count == 2))
    if not len(rows):
        return states.sum() * 0
    target, there = (torch.from_numpy(v) for v in patch_roles(batch.scenes.take(rows)))
    return features_loss(head(states[torch.from_numpy(rows)])[there], target[there])


def picture_aids(
    heads: Heads, pictures: torch.Tensor, patches: torch.Tensor, batch: samples.Batch
) -> tuple[torch.Tensor, dict[str, float]]:
    """Auxiliary losses of the picture tower."""
    whole = features_loss(heads.picture(pictures), torch.from_numpy(scene_features(batch.truth)))
    roles = role_loss(heads.roles, patches, batch)
    seen = patch_loss(heads.patches, patches, batch)
    return 0.1 * whole + 0.1 * roles + 0.5 * seen, numbers(whole=whole, roles=roles, patch=seen)


def loss_of(
    model: nn.Module, heads: Heads, rng: np.random.Generator, batch: samples.Batch, aid: float
) -> tuple[torch.Tensor, dict[str, float]]:
    """The whole loss of a step; `aid` is the weight of the auxiliary part."""
    chosen = choose_captions(rng, batch, 64)
    ids = samples.caption_ids()[chosen]
    text, tokens = embed_text(model, ids)
    pictures, patches = embed_pictures(model, samples.degrade(rng, batch.pictures))
    cosine = functional.normalize(pictures, dim=1) @ functional.normalize(text, dim=1).T
    logits = model.logit_scale.clamp(max=3.7).exp() * cosine
    truth = torch.from_numpy(batch.truth[:, chosen])
    own = torch.from_numpy(np.searchsorted(chosen, batch.places).clip(max=len(chosen) - 1))
    match = contrast(logits, truth, own)
    columns = truth.any(0).nonzero()[:, 0]
    first = truth.float().argmax(0)
    back = contrast(logits.T[columns], truth.T[columns], first[columns])
    shifted = logits + heads.bias
    sigmoid = (
        -functional.logsigmoid(shifted[truth]).mean() - functional.logsigmoid(-shifted[~truth]).mean() * 4
    )
    target, known = (torch.from_numpy(v[chosen]) for v in prefix_table())
    said = features_loss(heads.text(text), torch.from_numpy(feature_table()[chosen]))
    aids, values = picture_aids(heads, pictures, patches, batch)
    aids = aids + 0.1 * said + 0.1 * features_loss(heads.text_tokens(tokens)[known], target[known])
    loss = match + 0.3 * back + 0.5 * sigmoid + aid * aids
    values |= numbers(match=match, sigmoid=sigmoid, said=said)
    return loss, values


@torch.no_grad()
def pair_accuracy(score: Any, seed: int = 5, number: int = 50, *, held: bool = False) -> dict[str, float]:
    """Share of (render, caption, false hard negative) in which the caption scores higher, per task, and
    "relation": negatives that differ in the relation or the order only. `score(pictures, ids) -> [N]`."""
    rng = numpy_generator(seed, "pairs")
    ids, out = samples.caption_ids(), {}
    hits: dict[str, list[float]] = {"relation": []}
    for task in TASKS:
        if held and task not in ("attr", "full"):
            continue
        allowed = held_out() if held else training_captions()
        places = draw_captions(rng, number, mix={task: 1.0}, allowed=allowed)
        scenes = draw_scenes(rng, places)
        truth, pictures = truth_table(scenes), torch.from_numpy(render(scenes))
        rows, wrong, related = [], [], []
        for row, place in enumerate(places):
            for pool, name in ((hard_negatives(int(place)), False), (relation_variants(int(place)), True)):
                false = [i for i in pool if not truth[row, i]]
                for i in rng.permutation(false)[:4]:
                    rows.append(row), wrong.append(int(i)), related.append(name)
        beaten = score(pictures[rows], ids[places[rows]]) > score(pictures[rows], ids[wrong])
        flags = np.array(related)
        out[task] = round(float(beaten.numpy()[~flags].mean()), 3)
        hits["relation"] += list(beaten.numpy()[flags])
    out["relation"] = round(float(np.mean(hits["relation"])), 3)
    return out


def scorer(model: nn.Module) -> Any:
    """`score(pictures, ids)` of R1: logit scale times cosine."""

    def score(pictures: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        a = functional.normalize(embed_pictures(model, pictures)[0], dim=1)
        b = functional.normalize(embed_text(model, ids)[0], dim=1)
        return model.logit_scale.exp() * (a * b).sum(1)

    return score


def read_pool(folder: Path) -> samples.Pool | None:
    """All stored pictures of the folder's pool, or None."""
    paths = sorted((folder / "pool").glob("*.npz"))
    return samples.Pool.read(*paths) if paths else None


def text_start(model: nn.Module, heads: Heads, state: dict[str, torch.Tensor]) -> None:
    """Give R1 the text tower that `text.py` taught the meanings."""
    own = {k.removeprefix("text_model."): v for k, v in state.items()}
    model.text_model.load_state_dict(own)


def roles_first(options: Any, model: nn.Module, heads: Heads) -> Any:
    """A step of the stage "roles": the picture tower alone learns who is left, right, above and below."""
    mix = {
        "single": 0.04,
        "two": 0.1,
        "count": 0.12,
        "color": 0.04,
        "position": 0.3,
        "attr": 0.1,
        "full": 0.3,
    }

    def step(number: int, progress: float) -> dict[str, float]:
        rng = numpy_generator(options.seed, "roles", number)
        batch = samples.renders(rng, 80, mix)
        pictures, patches = embed_pictures(model, samples.degrade(rng, batch.pictures))
        loss, values = picture_aids(heads, pictures, patches, batch)
        loss.backward()
        return values

    return step


def begin(options: Any, name: str, model: nn.Module, heads: Heads) -> samples.Pool | None:
    """Starting weights of each stage; the pool of pictures for the second."""
    if not options.start:
        return None
    model.load_state_dict(weights(options.folder, options.start, "model"))
    heads.load_state_dict(weights(options.folder, options.start, "heads"), strict=False)
    if options.start == "roles":
        text_start(model, heads, weights(options.folder, "text", "text"))
    if not name.endswith("second"):
        return None
    pool = read_pool(options.folder)
    if pool is None:
        sys.exit("Stage 2 needs pictures: run engines.images.training.pictures first.")
    return pool


def main() -> None:
    """Train R1: `--name roles`, then `--start roles`, then `--name r1-second --start r1` (needs the pool)."""
    options = arguments("Train R1.", 6.0, is_staged=True)
    torch.manual_seed(options.seed)
    model, heads = make_r1(), Heads()
    name = options.name or "r1"
    pool = begin(options, name, model, heads)
    text = [*model.text_model.parameters()]
    known = {id(p) for p in text}
    rest = [p for p in [*model.parameters(), *heads.parameters()] if id(p) not in known]
    rate = 5e-4 if pool else 1.2e-3 if name == "roles" else 8e-4
    groups = [{"params": rest, "lr": rate}, {"params": text, "lr": rate * 0.2}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.02)

    def contrastive(number: int, progress: float) -> dict[str, float]:
        rng = numpy_generator(options.seed, name, number)
        batch = samples.renders(rng, 40 if pool else 80)
        if pool is not None:
            batch = samples.join(batch, pool.take(rng.integers(0, len(pool), 48)))
        loss, values = loss_of(model, heads, rng, batch, aid=max(0.3, 1 - progress))
        loss.backward()
        return values

    average = {"model": Average(model, 0.998)}

    def report() -> dict[str, Any]:
        plain = make_r1().eval()
        plain.load_state_dict(average["model"].weights)
        return {"pairs": pair_accuracy(scorer(plain)), "held": pair_accuracy(scorer(plain), held=True)}

    train(
        Budget.of(options, name),
        {"model": model, "heads": heads},
        optimizer,
        roles_first(options, model, heads) if name == "roles" else contrastive,
        schedule=lambda p, n: flat_then_cosine(p, n, warm=100, flat=0.3, end=0.01),
        average=average,
        report=None if name == "roles" else report,
        report_minutes=2.0,
    )


if __name__ == "__main__":
    main()
