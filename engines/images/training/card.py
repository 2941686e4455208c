"""Stage 11: the model card `weights/README.md`, written from `weights/figures.json`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from engines.images.embedded import WEIGHTS
from engines.images.world import TASKS

HEAD = """# The embedded text-to-image stack

Small models that draw and judge 64x64 scenes of coloured shapes. Trained from nothing on rendered scenes by the scripts in
`engines/images/training` (its README tells how, and what is different from the prototype); no outside data, no outside weights.
Licence: as the package (MIT).

| folder | class | parameters | what it is |
|---|---|---|---|
| `stack/unet` | UNet2DConditionModel | 2.50 M | F: v prediction, 20 Euler steps, guidance 3 |
| `stack/unet_one_step` | UNet2DConditionModel | 2.50 M | G: called once at t = 999, no guidance; shares all the rest |
| `stack/vae` | AutoencoderTiny | .24 M | 64x64 RGB to a latent 8x8x8 |
| `stack/text_encoder`, `stack/tokenizer` | CLIPTextModel, CLIPTokenizer | .13 M | 119 tokens, 12 a prompt |
| `stack/scheduler` | EulerDiscreteScheduler | | v prediction, trailing, zero terminal SNR |
| `r1` | CLIPModel | .47 M | reward, in CLIP's shape |
| `r2` | BlipReward | .68 M | reward, in ImageReward's shape |

Files are fp16 safetensors; `engines.images.embedded` loads them as float32. `StableDiffusionPipeline.from_pretrained("stack",
dtype=torch.float32)` runs F as it is. They know 1,002 sentences and nothing else (`engines.images.world.VOCABULARY`).

All figures: fresh prompts, judged by the exact checker ("strict": the right objects, number, colours, relation, and nothing else);
written by `training/evaluate.py` into `figures.json`; one training seed.
"""


def accuracy_table(figures: dict[str, Any]) -> str:
    """Strict accuracy per task, trained and held-out captions."""
    lines = [
        "## Accuracy",
        "",
        "| | " + " | ".join(TASKS) + " | mean | soft |",
        "|---" * (len(TASKS) + 3) + "|",
    ]
    for name in ("F", "F held out", "G", "G held out"):
        row = figures[name]
        cells = [f"{row[t]:.2f}" if t in row else "-" for t in TASKS]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {row['strict']:.3f} | {row['soft']:.3f} |")
    lines += [
        "",
        '"Held out": captions that name one of 9 pairs of coloured shapes which no training caption names.',
        f"Variety of G, standard deviation of pixels over 8 seeds: {figures['variety of G (pixel std over 8 seeds)']}.",
        "",
        "fp16 files against the fp32 checkpoints, same noise: "
        + ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in figures["fp16 against fp32"].items())
        + ".",
    ]
    return "\n".join(lines)


def reward_table(figures: dict[str, Any]) -> str:
    """Hard negatives, AUC and best-of-n."""
    columns = [*TASKS, "relation"]
    lines = [
        "## Rewards",
        "",
        "Share of renders in which the caption beats a false hard negative; `relation`: negatives that differ only in the relation or the order.",
        "",
    ]
    lines += ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in ("R1", "R2", "sum"):
        for suffix in ("", ", held out"):
            row = figures[f"{name} beats hard negatives{suffix}"]
            lines.append(
                f"| {name}{suffix} | "
                + " | ".join(f"{row[c]:.2f}" if c in row else "-" for c in columns)
                + " |"
            )
    lines += [
        "",
        "AUC for strict, and Spearman's correlation with soft:",
        "",
        "| | R1 | R2 | sum |",
        "|---|---|---|---|",
    ]
    for name in ("F", "G"):
        row = figures[f"rewards on {name}"]
        lines.append(
            f"| pictures of {name} | "
            + " | ".join(f"{row[k]['auc']:.3f} / {row[k]['spearman_soft']:.2f}" for k in ("R1", "R2", "sum"))
            + " |"
        )
    curve = figures["best of n on G"]
    lines += ["", "The best of n pictures of G by the sum of both rewards in standard units:", ""]
    lines += ["| n | " + " | ".join(str(n) for n in curve["n"]) + " |", "|---" * (len(curve["n"]) + 1) + "|"]
    for key in ("strict", "soft", "reward"):
        lines.append(f"| {key} | " + " | ".join(f"{v:.3f}" for v in curve[key]) + " |")
    scale = figures["scale"]
    lines += [
        "",
        f"Standard units: R1 / {scale['R1']}, R2 / {scale['R2']} (their standard deviation over plain pictures of G).",
    ]
    return "\n".join(lines)


def main() -> None:
    """Write the card."""
    parser = argparse.ArgumentParser(description="Write the model card.")
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    figures = json.loads((options.weights / "figures.json").read_text())
    text = "\n".join([HEAD, accuracy_table(figures), "", reward_table(figures), "", limits()])
    (options.weights / "README.md").write_text(text)


def limits() -> str:
    """What the models cannot do."""
    return """## Limits

- Weakest task: two shapes joined by "and" without colours; both objects often take one shape.
- Outlines of circles are sometimes angular; G also leaves fragments and mixed colours, which a search repairs.
- The rewards were trained on renders and on pictures of this F and G; other pictures are outside what they know. A picture found by
  pushing a reward hard can fool it: ask the checker.
"""


if __name__ == "__main__":
    main()
