"""Stage 2: the text encoder of F and G learns what captions mean before F starts, 1.5 CPU minutes.

A causal CLIPTextModel is trained to show, at each token, the features of what has been said so far
(`semantics.prefix_table`), on the training captions only. F then trains it on at a tenth of its rate. In the
prototype the encoder learnt from F's loss alone and the relations never arrived."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from engines.images.training.architecture import TEXT_WIDTH, make_text_encoder
from engines.images.training.loop import Budget, arguments, flat_then_cosine, numbers, train
from engines.images.training.r1 import features_loss
from engines.images.training.samples import caption_ids
from engines.images.training.semantics import FEATURES, prefix_table
from engines.images.world import held_out, training_captions


def main() -> None:
    """Train on all training captions at once; the log shows how held-out captions fare."""
    options = arguments("Train the text encoder on meanings.", 1.5)
    torch.manual_seed(options.seed)
    encoder, head = make_text_encoder(), nn.Linear(TEXT_WIDTH, FEATURES)
    parameters = [*encoder.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=3e-3, betas=(0.9, 0.98), weight_decay=0.01)
    ids = caption_ids()
    target, known = (torch.from_numpy(v) for v in prefix_table())

    def loss_on(rows: torch.Tensor) -> torch.Tensor:
        states = encoder(input_ids=ids[rows]).last_hidden_state
        return features_loss(head(states)[known[rows]], target[rows][known[rows]])

    train_rows = torch.tensor(training_captions())

    def step(number: int, progress: float) -> dict[str, float]:
        generator = torch.Generator().manual_seed(1000 + number)
        rows = train_rows[torch.randperm(len(train_rows), generator=generator)[:256]]
        loss = loss_on(rows)
        loss.backward()
        return numbers(loss=loss)

    @torch.no_grad()
    def report() -> dict[str, Any]:
        rows = torch.tensor(held_out())
        wrong = (head(encoder(input_ids=ids[rows]).last_hidden_state) > 0) != (target[rows] > 0)
        return {
            "held_out_loss": float(loss_on(rows)),
            "held_out_wrong": float(wrong[known[rows]].any(-1).float().mean()),
        }

    train(
        Budget.of(options, "text"),
        {"text": encoder, "head": head},
        optimizer,
        step,
        schedule=lambda p, n: flat_then_cosine(p, n, warm=50, flat=0.4, end=0.01),
        report=report,
    )


if __name__ == "__main__":
    main()
