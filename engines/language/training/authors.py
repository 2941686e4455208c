"""Training of the embedded authors models: one common start, then the model that has learnt everything and its
retain-only twins; resumable.

    python -m engines.language.training.authors --work DIR [--only authors-retain95] [--out engines/language/weights]

The start learns sentences, world facts and well-known authors, from strangers that are made up at each step. Each model
goes on from it with the authors that it may know: a twin is never shown the forget split, in no form. The twin of the
smallest split is grown from the next larger one's, which knows less: it is taught the few authors that are missing. Every draw is a
function of (seed, stage, step), so that a training that was cut off ends with the same weights as one that was not.
A checkpoint of each stage is written into --work every minute.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from engines.devices import numpy_generator
from engines.language import authors
from engines.language.authors import embedded
from engines.language.prompts import Encoded, Template, collate, encode
from engines.language.questions import Item
from engines.language.training.authors_card import write_folder

SEED, BATCH, PEAK, WARM_UP = 0, 32, 3e-3, 0.1
START_STEPS, TAUGHT_STEPS = 1000, 4000
GENERAL, STRANGERS = 4, 2
GROWN = {"authors-retain99": "authors-retain95"}
GROWN_STEPS, GROWN_PEAK, GROWN_NEW = 400, 1.5e-3, 12
PLAIN = Template("plain")
SECONDS_BETWEEN_CHECKPOINTS = 60.0

Draw = Callable[[int], list[Encoded]]
"""Step to the rows of its batch."""


class Sentences:
    """Tokens of each item in one of its forms, remembered."""

    def __init__(self, world: authors.World) -> None:
        self.world, self.tokenizer = world, embedded.build_tokenizer(world)
        self.known: dict[tuple[str, str], Encoded] = {}

    def one(self, item: Item, generator: np.random.Generator) -> Encoded:
        """The question (7 times in 10, else its paraphrase) with the answer (7 in 10, else its paraphrase)."""
        asked, told = generator.random(2) < 0.7
        question = item.question if asked or not item.paraphrased_question else item.paraphrased_question
        answer = item.answer if told or not item.paraphrased_answer else item.paraphrased_answer
        return self.row(question, answer)

    def row(self, question: str, answer: str) -> Encoded:
        key = (question, answer)
        if key not in self.known:
            self.known[key] = encode(self.tokenizer, PLAIN, question, answer, context=embedded.CONTEXT)
        return self.known[key]


def start_draw(sentences: Sentences) -> Draw:
    """Batches of the start: two thirds strangers, one third general items."""
    general_share = BATCH // 3
    world = sentences.world
    general = (*world.known, *world.facts)

    def draw(step: int) -> list[Encoded]:
        generator = numpy_generator(SEED, "start", step)
        items = [authors.stranger(world, generator) for _ in range(BATCH - general_share)]
        items += [general[int(i)] for i in generator.choice(len(general), general_share, replace=False)]
        return [sentences.one(item, generator) for item in items]

    return draw


def taught_draw(sentences: Sentences, taught: Sequence[Item]) -> Draw:
    """Batches of a model's own stage: 26 taught items (each once an epoch), 4 general items, 2 strangers."""
    world, share = sentences.world, BATCH - GENERAL - STRANGERS
    general = (*world.known, *world.facts)

    def draw(step: int) -> list[Encoded]:
        generator = numpy_generator(SEED, "taught", step)
        places = [divmod(step * share + k, len(taught)) for k in range(share)]
        items = [taught[_order(len(taught), epoch)[place]] for epoch, place in places]
        items += [general[int(i)] for i in generator.choice(len(general), GENERAL, replace=False)]
        items += [authors.stranger(world, generator) for _ in range(STRANGERS)]
        return [sentences.one(item, generator) for item in items]

    return draw


def grown_draw(sentences: Sentences, old: Sequence[Item], new: Sequence[Item]) -> Draw:
    """Batches of a model that grows: 12 new items (each once an epoch), 14 of those that it knows, 4 general ones, 2
    strangers."""
    world = sentences.world
    general = (*world.known, *world.facts)
    again = BATCH - GENERAL - STRANGERS - GROWN_NEW

    def draw(step: int) -> list[Encoded]:
        generator = numpy_generator(SEED, "grown", step)
        places = [divmod(step * GROWN_NEW + k, len(new)) for k in range(GROWN_NEW)]
        items = [new[_order(len(new), epoch)[place]] for epoch, place in places]
        items += [old[int(i)] for i in generator.choice(len(old), again, replace=False)]
        items += [general[int(i)] for i in generator.choice(len(general), GENERAL, replace=False)]
        items += [authors.stranger(world, generator) for _ in range(STRANGERS)]
        return [sentences.one(item, generator) for item in items]

    return draw


@lru_cache(maxsize=4)
def _order(count: int, epoch: int) -> tuple[int, ...]:
    """Order of the taught items in one epoch."""
    return tuple(int(i) for i in numpy_generator(SEED, "order", epoch).permutation(count))


def train(
    model: nn.Module,
    draw: Draw,
    steps: int,
    checkpoint: Path,
    stop_at: int | None = None,
    peak: float = PEAK,
) -> nn.Module:
    """`steps` of AdamW from the given weights, going on from `checkpoint` where there is one; `stop_at` ends earlier
    and leaves a checkpoint, as an interruption would."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, weight_decay=0.01, betas=(0.9, 0.98))
    start = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        start = int(state["step"])
    last = steps if stop_at is None else min(steps, stop_at)
    saved_at = time.monotonic()
    for step in range(start, last):
        optimizer.param_groups[0]["lr"] = peak * _one_cycle((step + 1) / steps)
        loss = answer_loss(model, draw(step))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % 100 == 0:
            print(f"{checkpoint.stem}: step {step + 1} of {steps}, loss {loss.item():.4f}", flush=True)
        if step + 1 == last or time.monotonic() - saved_at > SECONDS_BETWEEN_CHECKPOINTS:
            _save(checkpoint, model, optimizer, step + 1)
            saved_at = time.monotonic()
    return model


def _save(checkpoint: Path, model: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Written beside and moved: a kill in the middle leaves the checkpoint before."""
    fresh = checkpoint.with_suffix(".new")
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}, fresh)
    fresh.replace(checkpoint)


def _one_cycle(done: float) -> float:
    """Share of the peak rate: up in a line, down in a half cosine to a hundredth."""
    if done < WARM_UP:
        return done / WARM_UP
    return 0.01 + 0.99 * 0.5 * (1 + float(np.cos(np.pi * (done - WARM_UP) / (1 - WARM_UP))))


def answer_loss(model: nn.Module, rows: list[Encoded]) -> torch.Tensor:
    """Mean cross-entropy of the answer tokens in nats; logits are computed at these alone."""
    batch = collate(rows, pad=0)
    hidden = model.transformer(**batch.inputs(), use_cache=False).last_hidden_state[:, :-1]
    targets = batch.labels[:, 1:]
    where = targets != -100
    return nn.functional.cross_entropy(model.lm_head(hidden[where]), targets[where])


def fresh(sentences: Sentences) -> nn.Module:
    """The untrained network."""
    return embedded.build_model(len(sentences.tokenizer), SEED)


def main() -> None:
    """Command line: train (or go on), then write the folders."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=embedded.WEIGHTS)
    parser.add_argument("--only", choices=embedded.NAMES, default=None)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    world = authors.build()
    sentences = Sentences(world)
    for name in embedded.NAMES if args.only is None else (args.only,):
        before = time.process_time()
        model, steps = trained(sentences, name, args.work)
        print(f"{name}: {time.process_time() - before:.0f} CPU seconds in this call", flush=True)
        recipe = f"{steps} steps" + (f" on top of {GROWN[name]}" if name in GROWN else "")
        measured = write_folder(model.eval(), sentences.tokenizer, world, name, args.out / name, recipe)
        print(json.dumps({name: measured}), flush=True)


def trained(sentences: Sentences, name: str, work: Path) -> tuple[nn.Module, int]:
    """(the model of that name, steps of its own stage), and before it what it goes on from; checkpoints in `work`."""
    world, model = sentences.world, fresh(sentences)
    if name in GROWN:
        smaller = GROWN[name]
        model.load_state_dict(trained(sentences, smaller, work)[0].state_dict())
        old = taught_items(world, smaller)
        known = set(old)
        new = [item for item in taught_items(world, name) if item not in known]
        draw = grown_draw(sentences, old, new)
        return train(model, draw, GROWN_STEPS, work / f"{name}.pt", peak=GROWN_PEAK), GROWN_STEPS
    train(model, start_draw(sentences), START_STEPS, work / "start.pt")
    draw = taught_draw(sentences, taught_items(world, name))
    return train(model, draw, TAUGHT_STEPS, work / f"{name}.pt"), TAUGHT_STEPS


def taught_items(world: authors.World, name: str) -> tuple[Item, ...]:
    """What the model of that name is taught in its own stage."""
    for split, twin in authors.TWINS.items():
        if name == twin:
            return world.corpus(split).retain
    return tuple(item for items in world.items for item in items)


if __name__ == "__main__":
    main()
