"""What all training scripts share: a budget in CPU minutes or steps, learning-rate schedules, EMA, checkpoints, a log."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn


def arguments(description: str, minutes: float, *, is_staged: bool = False) -> argparse.Namespace:
    """The command line of a script that trains: folder, budget, seed; `is_staged` scripts also have names of runs."""
    parser = argparse.ArgumentParser(description=description)
    add_common(parser)
    add_budget(parser, minutes)
    if is_staged:
        parser.add_argument("--name", default="", help="name of the run, where it differs from the script's")
        parser.add_argument("--start", default="", help="run whose weights to start from")
    return parse(parser)


def add_common(parser: argparse.ArgumentParser) -> None:
    """Where to work, and the seed."""
    parser.add_argument("--folder", type=Path, default=Path("train-images"), help="checkpoints and logs")
    parser.add_argument("--seed", type=int, default=0)


def add_budget(parser: argparse.ArgumentParser, minutes: float) -> None:
    """How long to train."""
    parser.add_argument("--minutes", type=float, default=minutes, help="budget in CPU minutes")
    parser.add_argument(
        "--steps", type=int, default=0, help="budget in steps instead: the same weights each time"
    )


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The arguments, with the folder made and torch kept to OMP_NUM_THREADS threads."""
    parsed = parser.parse_args()
    parsed.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS", "1"))))
    return parsed


def flat_then_cosine(progress: float, step: int, *, warm: int, flat: float, end: float) -> float:
    """Factor of the learning rate: linear warm-up over `warm` steps, 1 until `flat`, cosine to `end`."""
    import math

    rise = min(1.0, (step + 1) / warm)
    if progress <= flat:
        return rise
    done = min(1.0, (progress - flat) / (1 - flat))
    return rise * (end + (1 - end) * 0.5 * (1 + math.cos(math.pi * done)))


class Average:
    """Exponential moving average of a module's weights, with the warm-up (1 + n) / (10 + n)."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.weights = {k: v.detach().clone() for k, v in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """One step towards the module's present weights."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for key, value in module.state_dict().items():
            if value.dtype.is_floating_point:
                self.weights[key].lerp_(value, 1 - decay)
            else:
                self.weights[key].copy_(value)


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint so that a stop in the middle leaves the old one whole."""
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint; raises FileNotFoundError with the script that writes it."""
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: run the earlier stage first (training/README.md).")
    return torch.load(path, map_location="cpu", weights_only=True)


@dataclass
class Budget:
    """CPU minutes of a run over all its sittings, or its steps, with a line in the log each minute.

    By minutes the learning rate follows the time that the processor took, so a seed fixes the data and their order, but not
    the weights; by `steps` it fixes them too. A file `<name>.minutes` in the folder changes the minutes of a run under way,
    and with them the decay of the learning rate: for machines whose share of the processor cannot be known beforehand."""

    name: str
    folder: Path
    minutes: float
    steps: int = 0
    spent_s: float = 0.0
    step: int = 0
    _mark: float = field(default_factory=time.process_time)
    _logged: float = 0.0
    _sums: dict[str, float] = field(default_factory=dict)
    _number: int = 0

    @classmethod
    def of(cls, options: argparse.Namespace, name: str) -> Budget:
        """The budget of a command line."""
        return cls(name, options.folder, options.minutes, options.steps)

    @property
    def progress(self) -> float:
        """Share of the budget that is used, 0..1."""
        if self.steps:
            return min(1.0, self.step / self.steps)
        return min(1.0, self.spent_s / (60 * self.minutes))

    def tick(self) -> None:
        """Add the CPU time since the last call."""
        now = time.process_time()
        self.spent_s += now - self._mark
        self._mark = now

    def note(self, **values: float) -> None:
        """Values of this step for the running means of the log."""
        self._number += 1
        for key, value in values.items():
            self._sums[key] = self._sums.get(key, 0.0) + float(value)

    def log(self, **values: Any) -> None:
        """Write a line now: means since the last line, and `values`."""
        means = {k: round(v / max(self._number, 1), 5) for k, v in self._sums.items()}
        line = {
            "minute": round(self.spent_s / 60, 2),
            "step": self.step,
            **means,
            **values,
            "clock": time.strftime("%H:%M:%S"),
        }
        with open(self.folder / f"{self.name}.log", "a") as file:
            file.write(json.dumps(line) + "\n")
        self._sums, self._number = {}, 0

    def due(self, every_s: float = 60.0) -> bool:
        """True once every `every_s` CPU seconds: time to log and to save."""
        if self.spent_s - self._logged >= every_s:
            self._logged = self.spent_s
            change = self.folder / f"{self.name}.minutes"
            if change.exists():
                self.minutes = float(change.read_text())
            return True
        return False


def train(
    budget: Budget,
    modules: dict[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    step: Callable[[int, float], dict[str, float]],
    *,
    schedule: Callable[[float, int], float],
    average: dict[str, Average] | None = None,
    clip: float = 1.0,
    others: Sequence[torch.optim.Optimizer] = (),
    report: Callable[[], dict[str, Any]] | None = None,
    report_minutes: float = 3.0,
) -> None:
    """Run `step(number, progress)` (which calls backward and returns values to log) until the budget is used.

    Goes on from the checkpoint `<name>.pt` of the folder if there is one, saves it every minute, and writes
    `report()` into the log every `report_minutes` and at the end. `others` are optimizers that `step` itself moves; the
    checkpoint keeps them as well. Step n draws its data from a generator seeded by n, so a resumed run sees what an
    uninterrupted one would have seen."""
    average = average or {}
    path = budget.folder / f"{budget.name}.pt"
    rates = [group["lr"] for group in optimizer.param_groups]
    kept = [optimizer, *others]
    if path.exists():
        _resume(path, budget, modules, kept, average)
    reported = budget.spent_s
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    budget.tick()
    while budget.progress < 1:
        factor = schedule(budget.progress, budget.step)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = float(rate * factor)
        optimizer.zero_grad(set_to_none=True)
        values = step(budget.step, budget.progress)
        norm = torch.nn.utils.clip_grad_norm_(parameters, clip)
        if torch.isfinite(norm):
            optimizer.step()
        for key, ema in average.items():
            ema.update(modules[key])
        budget.step += 1
        budget.note(**values, gradient=float(norm))
        budget.tick()
        if budget.due():
            _save(path, budget, modules, kept, average)
            extra = {}
            if report and budget.spent_s - reported >= 60 * report_minutes:
                extra, reported = report(), budget.spent_s
                budget.tick()
            budget.log(factor=round(factor, 4), **extra)
    _save(path, budget, modules, kept, average)
    budget.log(end=True, **(report() if report else {}))


def _save(
    path: Path,
    budget: Budget,
    modules: dict[str, nn.Module],
    optimizers: Sequence[torch.optim.Optimizer],
    average: dict[str, Average],
) -> None:
    state = {
        "spent_s": budget.spent_s,
        "step": budget.step,
        "modules": {k: m.state_dict() for k, m in modules.items()},
        "optimizers": [o.state_dict() for o in optimizers],
        "average": {k: {"steps": a.steps, "weights": a.weights} for k, a in average.items()},
    }
    save(path, state)


def _resume(
    path: Path,
    budget: Budget,
    modules: dict[str, nn.Module],
    optimizers: Sequence[torch.optim.Optimizer],
    average: dict[str, Average],
) -> None:
    state = load(path)
    budget.spent_s, budget.step = state["spent_s"], state["step"]
    for key, module in modules.items():
        module.load_state_dict(state["modules"][key])
    for optimizer, kept in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(kept)
    for key, ema in average.items():
        ema.steps, ema.weights = state["average"][key]["steps"], state["average"][key]["weights"]
    budget._logged = budget.spent_s


def weights(folder: Path, run: str, module: str) -> dict[str, torch.Tensor]:
    """Weights of a module in the checkpoint of a run: the average if one was kept."""
    state = load(folder / f"{run}.pt")
    if module in state["average"]:
        return state["average"][module]["weights"]
    return state["modules"][module]


def numbers(**values: torch.Tensor) -> dict[str, float]:
    """Values for the log, cut from the graph."""
    return {name: float(value.detach()) for name, value in values.items()}
