"""Tuning of the learning rates on a disclosed grid; resumable, writes `tuned_rates.json` beside itself.

    python -m engines.language.oblr_po.tuning

Every arm gets the same number of rates and the same seeds, which no experiment uses by default (100 to 103). The score
is the held-out chance of a right answer, mean over the last third of the evaluations and over the seeds. Adaptive arms'
rates are lr_max, of which they use a share rho, so their grid lies higher.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from engines.devices import numpy_generator, torch_generator
from engines.language import char_policy, rl_models
from engines.language.oblr_po.baselines import ARMS, TUNING_FILE
from engines.language.oblr_po.evaluation import evaluate
from engines.language.oblr_po.training import Settings, Trainer
from engines.language.verifiers import exact_match

FIXED = (5e-5, 1e-4, 2e-4, 4e-4, 8e-4)
ADAPTIVE = (2e-4, 4e-4, 8e-4, 1.6e-3)
SEEDS = (100, 101, 102, 103)
STEPS, PROMPTS, GROUP, EVERY = 60, 8, 16, 5


def score(key: str, rate: float, seed: int) -> float:
    """Held-out accuracy of one arm, rate and seed, mean over the last third of the evaluations."""
    arm, policy = ARMS[key], rl_models.load(char_policy.EMBEDDED, "cpu")
    train, held_out = char_policy.split_problems()
    trainer = Trainer(
        policy, exact_match, Settings(estimator=arm.estimator, adaptive=arm.adaptive, rate=rate)
    )
    found = []
    for step in range(1, STEPS + 1):
        chosen = numpy_generator(seed, "prompts", step).choice(len(train), PROMPTS, replace=False)
        trainer.step([train[i] for i in chosen], GROUP, torch_generator(seed, "rollout", step))
        if step % EVERY == 0:
            quality = evaluate(
                policy, exact_match, held_out, char_policy.MAX_NEW_TOKENS, True, torch_generator(seed, "eval")
            )
            found.append(float(quality.sampled.mean()))
    return float(np.mean(found[-len(found) // 3 :]))


def main() -> None:
    """All arms and rates that the file does not hold yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=TUNING_FILE)
    out = parser.parse_args().out
    settings = {
        "seeds": list(SEEDS),
        "steps": STEPS,
        "prompts": PROMPTS,
        "group": GROUP,
        "optimizer": "adamw",
    }
    stored = json.loads(out.read_text()) if out.exists() else {}
    if stored.get("settings") != settings:  # other settings: start anew
        stored = {"settings": settings, "grid": {}}
    for key in stored.pop("two_seeds", []):  # done with the first two seeds only: do them again
        stored["grid"].pop(key, None)
    for key, arm in ARMS.items():
        if key == "matched":
            continue
        for rate in ADAPTIVE if arm.adaptive else FIXED:
            if f"{rate:g}" in stored["grid"].setdefault(key, {}):
                continue
            value = float(np.mean([score(key, rate, seed) for seed in SEEDS]))
            stored["grid"][key][f"{rate:g}"] = round(value, 4)
            out.write_text(json.dumps(stored, indent=2) + "\n")
            print(key, rate, value, flush=True)


if __name__ == "__main__":
    main()
