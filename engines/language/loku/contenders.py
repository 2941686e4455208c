"""Who runs: a loss with a start of the weights that it trains, its name on the page, and its tuned learning rate."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

LossKey = Literal["ihl", "ga", "graddiff", "kl", "idk", "npo", "simnpo", "dpo", "wga", "rmu"]
StartKey = Literal["lora", "fila", "pissa", "full"]

LOSS_WORDS: dict[LossKey, str] = {
    "ihl": "IHL", "ga": "GA", "graddiff": "GradDiff", "kl": "KL", "idk": "IDK", "npo": "NPO", "simnpo": "SimNPO",
    "dpo": "DPO", "wga": "WGA", "rmu": "RMU",
}  # fmt: skip
START_WORDS: dict[StartKey, str] = {
    "lora": "",
    "fila": " + FILA",
    "pissa": " + PiSSA",
    "full": ", all weights",
}
METHOD = "IHL + FILA"
"""The paper's method, as its series is called."""
TUNING_FILE = Path(__file__).parent / "tuned_rates.json"


@dataclass(frozen=True)
class Contender:
    """A loss and a start. `series` is its name everywhere."""

    loss: LossKey
    start: StartKey

    @property
    def key(self) -> str:
        return f"{self.loss}+{self.start}"

    @property
    def series(self) -> str:
        return LOSS_WORDS[self.loss] + START_WORDS[self.start]


def contenders(
    losses: Sequence[LossKey], starts: Sequence[StartKey], baseline_starts: Sequence[StartKey]
) -> list[Contender]:
    """All that were asked for, the method first: the paper's loss with each of `starts`, the others with each of
    `baseline_starts`."""
    order = sorted(losses, key=lambda loss: loss != "ihl")
    found = [
        Contender(loss, start) for loss in order for start in (starts if loss == "ihl" else baseline_starts)
    ]
    return sorted(found, key=lambda c: (c.series != METHOD, c.loss != "ihl"))


def tuning() -> dict[str, Any]:
    """What `tuning.py` found: `settings`, and `grid`: contender key to rate to its result."""
    found: dict[str, Any] = json.loads(TUNING_FILE.read_text(encoding="utf-8"))
    return found


def tuned_rate(contender: Contender) -> float | None:
    """The best rate of the disclosed grid (`merit`), None where this contender was not tuned."""
    grid = tuning()["grid"].get(contender.key)
    if not grid:
        return None
    return float(max(grid, key=lambda rate: merit(grid[rate])))


def merit(result: dict[str, Any]) -> tuple[int, float]:
    """What a rate is chosen by: having reached the threshold with every tuning seed and epochs to spare, else just having
    reached it; then utility there. Where no rate does, the lowest accuracy on the forget set."""
    if not result["reached"]:
        return 0, -result["forget accuracy"]
    return 1 + result["in time"], result["utility"]


def tuning_rows() -> list[list[Any]]:
    """Rows (contender, rate, seeds, utility at the threshold, forget accuracy, steps, reached, chosen) of the grid."""
    rows: list[list[Any]] = []
    for key, grid in tuning()["grid"].items():
        loss, start = key.split("+")
        contender = Contender(loss, start)  # type: ignore[arg-type]
        chosen = tuned_rate(contender)
        for rate, found in sorted(grid.items(), key=lambda item: float(item[0])):
            rows.append(
                [
                    contender.series, float(rate), found["seeds"], found["utility"], found["forget accuracy"], found["steps"],
                    "in time" if found["in time"] else "late" if found["reached"] else "no", "chosen" if float(rate) == chosen else "",
                ]
            )  # fmt: skip
    return rows
