"""The model card of the noise-aware rewards, with its figures."""

from __future__ import annotations

from typing import Any

CARD = """# Noise-aware rewards for embedded-f

Copies of R1 and R2 that score F's clean estimates (20 steps, guidance 3, full decoder): from the estimate after s + 1 calls they
predict what the plain reward says of the finished picture of the same seed. {used}; later steps use the plain reward. Made by
`engines/images/training/trajectories.py` and `noise_aware.py`; no outside data, no outside weights. Licence: as the package (MIT).

One network for all steps, told the step by a vector that is added to every token of its picture tower. Start: the plain reward.
Batches of 16 sentences x 8 seeds, each group at one step of 0 .. 12. Loss: squared error to the raw reward, inside a group, plus a
tenth of the squared error of the group's mean, both divided by what the plain score leaves open at that step. AdamW 3e-4 falling linearly to a twentieth, weight decay .01, clip 5, weights averaged (.99).
{length}. R1's text side is untouched. One training seed.

Files are fp16 safetensors; the header holds sampler, guidance, reward and a fingerprint of network, decoder and reward, and
`engines.images.ttsnap.weights_file` refuses them for any other. `figures.json` has all figures and the {held} held-out prompts.

Mean Spearman correlation with the final reward inside a prompt, {held} held-out prompts x {seeds} seeds:

{table}
- The steps that are shipped, the rate, the loss and the default schedule were chosen on 24 tuning prompts x 64 seeds, which are
  neither trained on nor among the held-out ones.
- First tried, with 3,168 trajectories of 198 sentences and the plain squared error: the same network told the step .24 at step 2
  and .66 at step 8 for R2, the paper's order (clean to noisy) in one network .17 and .47, the last layers alone .16 and .69.
- It overlearns: after some ten CPU minutes the loss still falls, but on the tuning prompts noisy steps gain nothing more and clean
  ones lose. Reading a quarter of the groups for a false sentence did not help, nor did training the picture tower alone.
- Not tried: a checkpoint a step (the paper's form) with this many trajectories. The training experiment offers it.
"""


def card(figures: dict[str, Any]) -> str:
    """Markdown of what `noise_aware evaluate` and `export` wrote down."""
    lines: list[str] = []
    for name, rows in figures["spearman"].items():
        steps = range(len(rows["plain"]))
        lines += [
            f"| {name.upper()}, step | " + " | ".join(map(str, steps)) + " |",
            "|" + "---|" * (len(steps) + 1),
        ]
        for form, words in (("plain", "plain"), ("aware", "noise-aware")):
            values = [f"{v:.2f}" for v in rows[form]] + [""] * (len(steps) - len(rows[form]))
            lines += [f"| {words} | " + " | ".join(values) + " |"]
        lines += [""]
    used = ", ".join(
        f"{name.upper()} does so for steps 0 .. {last - 1}" for name, last in figures["used"].items()
    )
    length = "; ".join(
        f"{name.upper()}: {seen['trajectories']:,} trajectories of {seen['sentences']} sentences, {figures['updates'][name]:,} updates, "
        f"{figures['minutes'][name]:g} CPU minutes"
        for name, seen in figures["lessons"].items()
    )  # fmt: skip
    return CARD.format(
        used=used, length=length, held=len(figures["held"]), seeds=figures["seeds"], table="\n".join(lines),
    )  # fmt: skip
