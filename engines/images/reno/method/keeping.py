"""A state as plain tensors and back: an ascent that goes on from them makes the moves that it would have made.

Each tensor has a row for each noise. The best pictures are not among them: `begin_best` draws them again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from engines.images.reno.method.ascent import Evaluate, Settings, State, init, values

_HISTORY = 3
"""Pairs that L-BFGS remembers (`ascent`)."""
_COUNTS = ("n_iter", "func_evals", "t", "H_diag", "prev_loss")


def tensors_of(state: State) -> dict[str, torch.Tensor]:
    """What a later ascent needs: noise, momentum and the best noise [N, C, H, W], and what the optimizer knows."""
    n = len(state.noise)
    kept = {
        "noise": state.noise,
        "momentum": state.momentum,
        "best_noise": state.best_noise,
        "scale": state.scale,
        "best_at": state.best_at,
        "iteration": torch.full((n,), state.iteration),
        "age": torch.full((n,), state.age),
    }
    if state.second is not None:
        kept["second"] = state.second
    if any(state.curvature):
        kept["curvature"], kept["curvature_numbers"] = _packed(state)
    return kept


def state_of(tensors: Mapping[str, torch.Tensor], settings: Settings) -> tuple[State, bool]:
    """The state of those tensors, and whether the optimizer of `settings` finds what it knew in them; where not, it
    begins with empty momentum. Only `noise` must be there. Raises ValueError for a tensor of another shape."""
    noise = tensors["noise"]
    _check(tensors, len(noise), noise[0].numel())
    begun = {"sgd": "momentum", "adam": "second", "lbfgs": "curvature"}[settings.optimizer]
    others = {"second", "curvature"} - {begun}
    knows = begun in tensors and not others & set(tensors)
    state = init(noise, tensors.get("momentum") if knows else None)
    state = replace(
        state,
        iteration=_number(tensors, "iteration"),
        scale=tensors["scale"].to(noise) if "scale" in tensors else state.scale,
        best_at=tensors["best_at"].to(state.best_at) if "best_at" in tensors else state.best_at,
    )
    if knows:
        state = replace(
            state,
            age=_number(tensors, "age"),
            second=tensors.get("second"),
            curvature=_unpacked(tensors) if "curvature" in tensors else (),
        )
    return state, knows


def begin_best(
    state: State, best_noise: torch.Tensor, evaluate: Evaluate, weights: torch.Tensor, at_once: int = 0
) -> State:
    """Let the selection begin from a noise that an earlier run found: one look at it."""
    pictures, rewards = values(best_noise, evaluate, at_once)
    total = (weights.expand(len(best_noise), -1) * rewards).sum(1)
    return replace(state, best=total, best_noise=best_noise, best_pictures=pictures, best_rewards=rewards)


def _check(tensors: Mapping[str, torch.Tensor], n: int, d: int) -> None:
    wanted = dict.fromkeys(("scale", "best_at", "iteration", "age"), (n,))
    shapes = {**wanted, "curvature": _vectors(n, d), "curvature_numbers": _numbers(n)}
    for name, shape in shapes.items():
        if name in tensors and tuple(tensors[name].shape) != shape:
            raise ValueError(
                f"the tensor {name} must have the shape {shape}; got {tuple(tensors[name].shape)}."
            )
    if ("curvature" in tensors) != ("curvature_numbers" in tensors):
        raise ValueError("the tensors curvature and curvature_numbers belong together, and one is missing.")


def _vectors(n: int, d: int) -> tuple[int, ...]:
    return n, 2 + 2 * _HISTORY, d


def _numbers(n: int) -> tuple[int, ...]:
    return n, 1 + len(_COUNTS) + _HISTORY


def _number(tensors: Mapping[str, torch.Tensor], name: str) -> int:
    return int(tensors[name][0]) if name in tensors else 0


def _packed(state: State) -> tuple[torch.Tensor, torch.Tensor]:
    """L-BFGS's memories as vectors [N, 2 + 2 h, d] (direction, last gradient, and up to h pairs) and numbers
    [N, 6 + h] (how many pairs, the counts, one over each pair's product)."""
    flat = state.noise.flatten(1)
    n, d = flat.shape
    vectors, numbers = torch.zeros(_vectors(n, d)), torch.zeros(_numbers(n), dtype=torch.float64)
    for i, memory in enumerate(state.curvature):
        if "d" not in memory:
            continue
        pairs = len(memory["old_dirs"])
        rows = [memory["d"], memory["prev_flat_grad"], *memory["old_dirs"], *memory["old_stps"]]
        vectors[i, : len(rows)] = torch.stack(rows).cpu()
        said = [pairs, *(memory[name] for name in _COUNTS), *memory["ro"]]
        numbers[i, : len(said)] = torch.tensor([float(value) for value in said], dtype=torch.float64)
    return vectors, numbers


def _unpacked(tensors: Mapping[str, torch.Tensor]) -> tuple[dict[str, Any], ...]:
    like = tensors["noise"]
    memories: list[dict[str, Any]] = []
    for vectors, numbers in zip(
        tensors["curvature"].to(like), tensors["curvature_numbers"].tolist(), strict=True
    ):
        pairs, said = int(numbers[0]), dict(zip(_COUNTS, numbers[1:], strict=False))
        if not said["n_iter"]:
            memories.append({})
            continue
        ones = numbers[1 + len(_COUNTS) :][:pairs]
        memories.append(
            {
                "n_iter": int(said["n_iter"]),
                "func_evals": int(said["func_evals"]),
                "t": said["t"],
                "prev_loss": said["prev_loss"],
                "H_diag": torch.tensor(said["H_diag"], dtype=like.dtype, device=like.device),
                "d": vectors[0],
                "prev_flat_grad": vectors[1],
                "old_dirs": list(vectors[2 : 2 + pairs]),
                "old_stps": list(vectors[2 + pairs : 2 + 2 * pairs]),
                "ro": [torch.tensor(one, dtype=like.dtype, device=like.device) for one in ones],
            }
        )
    return tuple(memories)
