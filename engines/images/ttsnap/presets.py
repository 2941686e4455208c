"""Named settings."""

from __future__ import annotations

from engines.contract import Preset

PRESETS = {
    "smoke": Preset(
        "Smoke", "A small search with everything once.",
        {"budget": 60, "prune_steps": (4, 11), "keep": (0.5, 0.5), "bench_prompts": 1, "pool": 5, "draws": 4},
    ),
    "default": Preset("Search", "Twenty-two seeds race for one picture, then all contenders meet on held-out prompts.", {}),
    "paper_cuts": Preset(
        "The paper's cuts", "After steps 2, 6 and 11, as for FLUX: its early estimates say more than those of embedded-f.",
        {"prune_steps": (2, 6, 11), "keep": (0.4, 0.4, 0.5)},
    ),
    "several": Preset(
        "Two rewards", "R1 and R2 by the sum of their ranks, with the paper's schedule for several rewards.",
        {"rewards": ("r1", "r2"), "prune_steps": (4, 6, 11), "keep": (0.4, 0.5, 0.6)},
    ),
    "train": Preset("Train the reward", "Learn to read half-drawn pictures, level by level; about a minute.",
                    {"experiment": "train"}),
    "replay": Preset("Replay lab", "Any schedule and budget on stored rewards, and a search for a better schedule.",
                     {"experiment": "replay", "bench_prompts": 6, "pool": 64}),
    "paper": Preset(
        "Paper's scale", "FLUX.1-dev, 20 steps, with HPSv2.1; one GPU of 40 GB. Noise-aware weights are yours to bring.",
        {"model": "flux-dev", "prompt": "a red dog left of a green cat", "guidance": 3.5, "rewards": ("hpsv2.1",), "noise_aware": "none",
         "bench_prompts": 0, "at_once": 4},
    ),
}  # fmt: skip

REPRODUCE = {"bench_prompts": 24, "pool": 48}
