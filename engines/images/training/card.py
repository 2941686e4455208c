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

All figures: captions drawn anew with fresh noise, judged by the exact checker ("strict": the right objects, number, colours, relation,
and nothing else); in brackets 95 % intervals; one training seed. Written into `figures.json` by

    python -m engines.images.training.evaluate --seed {seed} --per-task {per_task}

a seed that was looked at when everything had been chosen and trained.
"""


def accuracy_table(figures: dict[str, Any]) -> str:
    """Strict accuracy per task, trained and held-out captions."""
    lines = [
        "## Accuracy",
        "",
        f"Strict, {figures['F']['a task']} captions a task; mean and soft over the tasks.",
        "",
        "| | " + " | ".join(TASKS) + " | mean | soft |",
        "|---" * (len(TASKS) + 3) + "|",
    ]
    for name in ("F", "F held out", "G", "G held out"):
        row = figures[name]
        cells = [f"{row[t]:.2f} {span(row['interval'][t], 2)}" if t in row else "-" for t in TASKS]
        cells += [f"{row[key]:.3f} {span(row['interval'][key])}" for key in ("strict", "soft")]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    half = figures["fp16 against fp32"]
    lines += [
        "",
        '"Held out": captions that name one of 9 pairs of coloured shapes which no training caption names.',
        f"Variety of G, standard deviation of pixels over 8 seeds: {figures['variety of G (pixel std over 8 seeds)']}.",
        "",
        f"fp16 files against the fp32 checkpoints, same noise, {half['pictures']} pictures, seed {half['seed']}: mean difference "
        f"F {half['F_mean_difference']}, G {half['G_mean_difference']}; equal verdicts F {half['F_equal_verdicts']}, "
        f"G {half['G_equal_verdicts']}.",
    ]
    return "\n".join(lines)


def span(ends: list[float], places: int = 3) -> str:
    """ "[.41, .47]"."""
    return "[" + ", ".join(f"{end:.{places}f}" for end in ends) + "]"


def reward_table(figures: dict[str, Any]) -> str:
    """Hard negatives, AUC and best-of-n."""
    return "\n".join([*_negatives(figures), *_pictures(figures), *_best_of(figures)])


def _negatives(figures: dict[str, Any]) -> list[str]:
    columns = [*TASKS, "relation"]
    lines = [
        "## Rewards",
        "",
        "Share of renders in which the caption beats a false hard negative; `relation`: negatives that differ only in the relation or the order. "
        f"{figures['renders a task']} renders a task, up to four negatives each.",
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
    return lines


def _pictures(figures: dict[str, Any]) -> list[str]:
    lines = [
        "",
        f"AUC for strict, and Spearman's correlation with soft, {figures['rewards on F']['pictures']} pictures each:",
        "",
        "| | R1 | R2 | sum |",
        "|---|---|---|---|",
    ]
    for name in ("F", "G"):
        row = figures[f"rewards on {name}"]
        cells = [
            f"{row[k]['auc']:.3f} {span(row[k]['auc_interval'])} / {row[k]['spearman_soft']:.2f} "
            f"{span(row[k]['spearman_soft_interval'], 2)}"
            for k in ("R1", "R2", "sum")
        ]
        lines.append(f"| pictures of {name} | " + " | ".join(cells) + " |")
    return lines


def _best_of(figures: dict[str, Any]) -> list[str]:
    curve, scale = figures["best of n on G"], figures["scale"]
    rise = curve["rise of strict"]
    is_clear = rise["interval"][0] > 0
    lines = [
        "",
        f"The best of n pictures of G by the sum of both rewards in standard units; {curve['prompts']} prompts, expected over all choices "
        f"of n out of their {max(curve['n'])} pictures:",
        "",
        "| n | " + " | ".join(str(n) for n in curve["n"]) + " |",
        "|---" * (len(curve["n"]) + 1) + "|",
    ]
    for key in ("strict", "soft", "reward"):
        cells = [
            f"{v:.3f} {span(ends)}" for v, ends in zip(curve[key], curve[f"{key} interval"], strict=True)
        ]
        lines.append(f"| {key} | " + " | ".join(cells) + " |")
    beyond = "beyond" if is_clear else "not beyond"
    lines += [
        "",
        f"From {rise['from']} to {rise['to']} pictures strict changes by {rise['mean']:+.3f} {span(rise['interval'])}, prompt by prompt: {beyond} "
        "its error.",
        "",
        f"Standard units: R1 / {scale['R1']}, R2 / {scale['R2']} (their standard deviation over plain pictures of G).",
    ]
    return lines


def card(figures: dict[str, Any]) -> str:
    """The whole card."""
    head = HEAD.format(seed=figures["seed"], per_task=figures["F"]["a task"])
    return "\n".join([head, accuracy_table(figures), "", reward_table(figures), "", limits()])


def main() -> None:
    """Write the card."""
    parser = argparse.ArgumentParser(description="Write the model card.")
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    (options.weights / "README.md").write_text(
        card(json.loads((options.weights / "figures.json").read_text()))
    )


def limits() -> str:
    """What the models cannot do."""
    return """## Limits

- Weakest tasks: two shapes joined by "and" without colours, where both objects often take one shape, and numbers.
- Outlines of circles are sometimes angular; G also leaves fragments and mixed colours, which a search repairs.
- The rewards were trained on renders and on pictures of this F and G; other pictures are outside what they know. A picture found by
  pushing a reward hard can fool it: ask the checker.
"""


if __name__ == "__main__":
    main()
