"""What the experiments say: scalars an iteration, pictures, tables, arrays, files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from engines.events import Array, Axis, Event, Picture, Scalar, Table
from engines.images.reno.contest import Arm, Contest, Gang
from engines.images.reno.finals import Final, Timed
from engines.images.reno.judging import Judged

MAX_SIDE = 128
"""Longest side of a difference map; larger pictures are averaged down to it."""


def pixels(picture: torch.Tensor) -> np.ndarray:
    """A picture [3, H, W] in 0..1 as uint8 [H, W, 3]."""
    array = picture.detach().float().cpu().numpy()
    return np.rint(np.clip(np.nan_to_num(array), 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)


def sheet(pictures: torch.Tensor, most: int = 16) -> np.ndarray:
    """Pictures side by side with a gap of two pixels, uint8 [H, W, 3]."""
    tiles = [pixels(p) for p in pictures[:most]]
    gap = np.zeros((tiles[0].shape[0], 2, 3), dtype=np.uint8)
    parts = [part for tile in tiles for part in (gap, tile)][1:]
    return np.concatenate(parts, axis=1)


def arm_scalars(contest: Contest, i: int) -> Iterator[Scalar]:
    """Reward, best reward, norm, gradient norm and seconds of every contender that climbs."""
    for gang in contest.gangs():
        for arm in gang.arms:
            if arm.info is None or gang.state.iteration == 0:
                continue
            seconds = gang.share + (contest.warm_pool_s if gang is contest.warm else 0.0)
            at = contest.before + i if gang is contest.reno else i
            yield from _climb(gang, arm, contest.weights, at)
            if contest.counts_passes(gang):
                yield Scalar(arm.series, "passes", at, arm.passes)
            yield Scalar(arm.series, "time/seconds", at, seconds)


def _climb(gang: Gang, arm: Arm, weights: torch.Tensor, i: int) -> Iterator[Scalar]:
    info, rewards = arm.info, gang.state.best_rewards
    assert info is not None
    assert rewards is not None
    # in the weights of the run, so that a contender with a reward left out can be compared
    yield Scalar(arm.series, "reward", i, float(gang.by_picture((weights * info.rewards).sum(1)).mean()))
    best = gang.by_picture((weights * rewards[arm.rows]).sum(1))
    yield Scalar(arm.series, "best reward", i, float(best.mean()))
    yield Scalar(arm.series, "noise norm", i, float(info.norm.mean()))
    yield Scalar(arm.series, "gradient norm", i, float(info.gradient_norm.mean()))


def lookout_scalars(contest: Contest, i: int, per_iteration: int) -> Iterator[Scalar]:
    """Best reward after each look, and its time."""
    for lookout in contest.lookouts():
        count = per_iteration if lookout is contest.best else 1
        for look in range(i * count, (i + 1) * count):
            seconds, best = lookout.trace[look]
            yield Scalar(lookout.series, "best reward", look, float(best.mean()))
            yield Scalar(lookout.series, "time/seconds", look, seconds)


def reward_gains(
    titles: Sequence[str], weights: Sequence[float], now: torch.Tensor, first: torch.Tensor, i: int
) -> Iterator[Scalar]:
    """What each reward has gained since the start, in its weight: the parts of the reward sum."""
    for k, title in enumerate(titles):
        yield Scalar(title, "gain", i, float(weights[k] * (now[:, k] - first[:, k]).mean()))


def judged_scalars(series: str, names: Sequence[str], judged: Judged, step: int) -> Iterator[Scalar]:
    """The judges on the best pictures so far."""
    if judged.strict is not None and judged.soft is not None:
        yield Scalar(series, "right", step, float(judged.strict.mean()))
        yield Scalar(series, "demands met", step, float(judged.soft.mean()))
    for k, name in enumerate(names):
        yield Scalar(series, f"not optimised: {name}", step, float(judged.watched[:, k].mean()))


def caption(total: float, judged: Judged, row: int) -> str:
    """ "4.82, right" or "4.82, number ✓, colour ✕"."""
    words = f"reward {total:.2f}"
    if judged.strict is None:
        return words
    return f"{words}, {'right' if judged.strict[row] else judged.parts[row]}"


def contender_table(found: Mapping[str, Final], titles: Sequence[str], watched: Sequence[str]) -> Table:
    """Where everybody ended, means over the pictures."""
    columns = [
        "contender",
        "looks or steps",
        "reward",
        *titles,
        *(f"{name} (not optimised)" for name in watched),
    ]
    has_checker = all(final.right is not None for final in found.values())
    columns += ["right", "demands met"] if has_checker else []
    rows: list[list[str | int | float | None]] = []
    for name, final in found.items():
        row: list[str | int | float | None] = [name, final.looks, float(final.reward.mean())]
        row += [float(v) for v in final.rewards.mean(0)] + [float(v) for v in final.judged.watched.mean(0)]
        row += [final.right, final.demands] if has_checker else []
        rows.append([*row, float(final.norm.mean())])
    return Table("Where they ended", [*columns, "noise norm"], rows)


def time_table(times: Sequence[Timed], seconds: Mapping[str, float]) -> Table:
    """Measured seconds, and what best-of-N reaches in the time of ReNO."""
    rows: list[list[str | int | float | None]] = [
        [name, value, None, None, None] for name, value in seconds.items()
    ]
    for one in times:
        final = one.final
        rows.append(
            [
                f"Best of N in the time of {one.against}",
                one.seconds,
                final.looks,
                float(final.reward.mean()),
                final.right,
            ]
        )
    return Table("seconds of each contender", ("contender", "seconds", "looks", "reward", "right"), rows)


def verdict_table(found: Mapping[str, Final], shown: Sequence[str]) -> Table:
    """The checker's demands one by one, for the contenders of `shown`."""
    rows = [
        [f"noise {row + 1}", name, found[name].judged.parts[row], "right" if strict[row] else "wrong"]
        for name in shown
        if (strict := found[name].judged.strict) is not None
        for row in range(len(strict))
    ]
    rows.sort(key=lambda row: int(str(row[0]).split()[1]))
    return Table("Verdicts of the exact checker", ("noise", "contender", "demands", "verdict"), rows)


def difference(name: str, before: torch.Tensor, after: torch.Tensor, step: int) -> Array:
    """Mean absolute change of each pixel over the colours, [H, W] in 0..1."""
    change = (after - before).abs().mean(0)[None, None].float()
    if max(change.shape[-2:]) > MAX_SIDE:
        change = torch.nn.functional.adaptive_avg_pool2d(change, MAX_SIDE)
    values = change[0, 0].cpu().numpy()
    axes = [
        Axis("row (pixel)", np.arange(values.shape[0])),
        Axis("column (pixel)", np.arange(values.shape[1])),
    ]
    return Array(name, step, values, axes, keep=False)


def noise_arrays(start: torch.Tensor, found: torch.Tensor, step: int) -> Iterator[Event]:
    """Does the found noise still look Gaussian: its histogram beside the start's, and its autocorrelation."""
    edges = np.linspace(-4, 4, 33)
    middles = (edges[1:] + edges[:-1]) / 2
    rows = []
    for noise in (start, found):
        counts, _ = np.histogram(noise.detach().cpu().numpy(), bins=edges)
        rows.append(counts / max(1, noise.numel()) / (edges[1] - edges[0]))
    rows.append(np.exp(-(middles**2) / 2) / np.sqrt(2 * np.pi))
    names = ["start", "found", "standard normal"]
    yield Array(
        "noise histogram", step, np.stack(rows), [Axis("noise", names), Axis("value", middles)], keep=False
    )
    reach = min(3, found.shape[-1] - 1, found.shape[-2] - 1)
    lags = np.arange(-reach, reach + 1)
    yield Array(
        "noise autocorrelation",
        step,
        autocorrelation(found.detach().float().cpu().numpy(), reach),
        [Axis("rows apart", lags), Axis("columns apart", lags)],
        keep=False,
    )


def autocorrelation(noise: np.ndarray, reach: int = 3) -> np.ndarray:
    """Mean over samples and channels of the product of entries that lie (dy, dx) apart, over the mean square; the
    middle is 1. noise [N, C, H, W]; answers [2 reach + 1, 2 reach + 1]."""
    height, width = noise.shape[-2:]
    out = np.empty((2 * reach + 1, 2 * reach + 1))
    for a, dy in enumerate(range(-reach, reach + 1)):
        for b, dx in enumerate(range(-reach, reach + 1)):
            first = noise[..., max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)]
            second = noise[..., max(0, -dy) : height + min(0, -dy), max(0, -dx) : width + min(0, -dx)]
            out[a, b] = (first * second).mean() / np.square(noise).mean()
    return out


def contender_pictures(found: Mapping[str, Final], step: int, group: str = "Contenders") -> Iterator[Picture]:
    """The best pictures of every contender side by side."""
    for name, final in found.items():
        if final.pictures is None:
            continue
        words = f"reward {final.reward.mean():.2f}"
        if final.judged.strict is not None:
            words += f", {int(final.judged.strict.sum())} of {len(final.judged.strict)} right"
        yield Picture(f"{group}/{name}", step, sheet(final.pictures), words)
