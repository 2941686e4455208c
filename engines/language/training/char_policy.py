"""Pre-training of the embedded character policy; resumable.

    python -m engines.language.training.char_policy --out engines/language/weights/char_policy

Writes transformers' own format (config, tokenizer, fp16 safetensors) and a model card with the measured quality.
A checkpoint (`checkpoint.pt`) in --work is written every 100 steps; the same command goes on from it and ends with
the same weights as an uninterrupted run.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from engines.devices import numpy_generator
from engines.language import char_policy, rl_rollouts
from engines.language.verifiers import exact_match

SEED = 0
BATCH = 128
LEARNING_RATE = 3e-3
WRONG, SPREAD = 0.5, 8


def train(steps: int, work: Path, save_every: int = 100, stop_at: int | None = None) -> torch.nn.Module:
    """The network after `steps` of AdamW on noisy sums, going on from `work`/checkpoint.pt where there is one;
    `stop_at` ends earlier, as an interruption would."""
    model = char_policy.build_model(SEED)
    tokenizer = char_policy.build_tokenizer()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    problems, _ = char_policy.split_problems()
    start, saved = 0, work / "checkpoint.pt"
    if saved.exists():
        state = torch.load(saved, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        start = int(state["step"])
    for step in range(start, steps if stop_at is None else stop_at):
        texts = char_policy.noisy_sums(
            numpy_generator(SEED, "pre-training", step), problems, BATCH, WRONG, SPREAD
        )
        loss = _loss(model, tokenizer, texts)
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * min(1.0, (step + 1) / 20) * (1 - 0.9 * step / steps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % save_every == 0:
            print(f"step {step + 1} loss {loss.item():.4f}", flush=True)
            torch.save(
                {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}, saved
            )
    return model


def _loss(model: torch.nn.Module, tokenizer: object, texts: list[str]) -> torch.Tensor:
    """Mean cross-entropy of the response tokens (what follows "=") in nats."""
    batch = tokenizer(texts, padding=True, padding_side="right", return_tensors="pt")
    ids, mask = batch["input_ids"], batch["attention_mask"]
    logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
    targets = ids[:, 1:].clone()
    targets[mask[:, 1:] == 0] = -100
    targets[:, : len("07+15=") - 1] = -100
    return torch.nn.functional.cross_entropy(logits.transpose(1, 2), targets, ignore_index=-100)


def quality(model: torch.nn.Module) -> dict[str, float]:
    """Share of right answers on training and on held-out problems: greedy, and sampled (8 a problem)."""
    tokenizer = char_policy.build_tokenizer()
    found = {}
    for name, problems in zip(("training", "held-out"), char_policy.split_problems(), strict=True):
        for kind, repeats in (("greedy", 1), ("sampled", 8)):
            prompts = [p.prompt for p in problems for _ in range(repeats)]
            answers = [p.answer for p in problems for _ in range(repeats)]
            rollout = rl_rollouts.sample(
                model,
                tokenizer,
                prompts,
                max_new_tokens=char_policy.MAX_NEW_TOKENS,
                greedy=kind == "greedy",
                generator=torch.Generator().manual_seed(1),
            )
            right = [
                exact_match(q, r, a) for q, r, a in zip(prompts, rollout.responses, answers, strict=True)
            ]
            found[f"{name} {kind}"] = round(float(np.mean(right)), 4)
    return found


def save(model: torch.nn.Module, out: Path, steps: int, seconds: float) -> None:
    """Weights as fp16, configuration, tokenizer and model card in `out`."""
    out.mkdir(parents=True, exist_ok=True)
    halves = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    save_file(halves, out / "model.safetensors", metadata={"format": "pt"})
    model.load_state_dict({name: value.float() for name, value in halves.items()})
    model.config.save_pretrained(out)
    char_policy.build_tokenizer().save_pretrained(out)
    measured = quality(model)
    (out / "quality.json").write_text(json.dumps(measured, indent=2) + "\n")
    rows = "\n".join(f"| {name} | {value:.3f} |" for name, value in measured.items())
    count = sum(p.numel() for p in model.parameters())
    (out / "README.md").write_text(CARD.format(count=count, steps=steps, seconds=seconds, rows=rows))
    print(json.dumps(measured))


CARD = """---
license: apache-2.0
library_name: transformers
tags: [character-level, arithmetic, reinforcement-learning]
---
# char-policy

A GPT-2 of {count:,} parameters (2 layers, width 64, 4 heads, 14 characters) that writes sums such as `07+15=22$`.
It exists to be the starting policy of reinforcement learning with verifiable rewards on a laptop: it knows addition
half-way and is unsure about it.

**Data.** Made by code: operands 0-19, 300 of the 400 problems (100 are held out, here and in reinforcement learning);
half of the answers carry an error uniform over -8..8 without 0. No outside data.

**Training.** `python -m engines.language.training.char_policy`, seed 0, {steps} steps of AdamW (3e-3 falling
linearly to a tenth, batch 128), {seconds:.0f} s on one CPU core. Weights are stored as fp16; load them as fp32 on a CPU.

**Quality** (share of right answers, after rounding to fp16; sampled at temperature 1, 8 answers a problem):

| problems and decoding | right |
|---|---|
{rows}

Not for doing sums.
"""


def main() -> None:
    """Command line: train (or go on), then write the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=char_policy.FOLDER)
    parser.add_argument("--work", type=Path, default=Path("char_policy_training"))
    parser.add_argument("--steps", type=int, default=300)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    model = train(args.steps, args.work).eval()
    save(model, args.out, args.steps, time.perf_counter() - started)


if __name__ == "__main__":
    main()
