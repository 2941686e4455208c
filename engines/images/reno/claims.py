"""How each claim of `claim_list.CLAIMS` is decided from what the contenders ended with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from engines.events import ClaimCheck
from engines.images import verdicts
from engines.images.reno.contest import BEST, FREE, PLAIN, RENO, WARM
from engines.images.reno.finals import Final, Timed
from engines.images.reno.params import RenoParams

RISE = 1e-3
"""A smaller gain is none: a picture's reward differs by 1e-5 with the batch that it is made in."""


def check(
    found: Mapping[str, Final],
    times: Sequence[Timed],
    params: RenoParams,
    d: int,
    transfer: tuple[Final, Final] | None,
    before: int = 0,
) -> Iterator[ClaimCheck]:
    """One check for each claim that this run can say something about. `transfer` is the many-step model from plain
    noise and from ReNO's. `before` counts ReNO's iterations in earlier runs, which the others did not have."""
    checks = _checks(found, times, params, d, transfer)
    if found[RENO].looks == 1:
        why = "Not decided: the only iteration is the plain picture."
        yield from (replace(one, holds=None, detail=why) for one in checks)
        return
    for one in checks:
        unequal = _unequal(one.key, params, before)
        yield replace(one, holds=None, detail=f"Not decided: {unequal}") if unequal else one


def _unequal(key: str, params: RenoParams, before: int) -> str:
    """Why a claim about equal costs cannot be decided in this run, empty where it can."""
    if key == "equal_iterations" and params.optimizer == "lbfgs":
        return (
            "an iteration of L-BFGS makes up to ten inner steps, so that equal iterations are no equal cost. See the race "
            "by passes or by seconds."
        )
    if before and key in ("time_equal", "norm", "all_rewards"):
        return (
            f"ReNO goes on after {before} iterations of an earlier run, which its rivals did not have. Run all "
            "iterations in one run to compare them."
        )
    return ""


def _checks(
    found: Mapping[str, Final],
    times: Sequence[Timed],
    params: RenoParams,
    d: int,
    transfer: tuple[Final, Final] | None,
) -> Iterator[ClaimCheck]:
    reno, plain = found[RENO], found[PLAIN]
    worst = int(np.argmin(reno.reward - plain.reward))
    yield ClaimCheck(
        "rises",
        float(reno.reward.mean()),
        float(plain.reward.mean()),
        bool((reno.reward > plain.reward + RISE).all()),
        f"Smallest gain of {len(plain.reward)}: {reno.reward[worst] - plain.reward[worst]:.3g}.",
    )
    yield _equal_iterations(reno, next(final for name, final in found.items() if name.startswith(BEST)))
    by_name = {one.against: one for one in times}
    yield _at_equal_time("time_equal", reno.reward, by_name[RENO], by_name[RENO].final.reward)
    if reno.judged.strict is None or plain.judged.strict is None:
        yield ClaimCheck("accuracy", None, None, None, "No exact checker for this model's pictures.")
    else:
        yield _all_right(
            verdicts.check(
                "accuracy", reno.judged.strict, plain.judged.strict, "Judged by the exact checker."
            )
        )
    if WARM in found and WARM in by_name:
        yield _warm(found[WARM], by_name[WARM])
        fair = by_name[WARM]
        yield _at_equal_time("time_warm_reward", found[WARM].reward, fair, fair.final.reward)
    if FREE in found:
        yield _norm(reno, found[FREE], d)
    alone = {name: final for name, final in found.items() if name.startswith("ReNO without ")}
    if alone:
        yield _all_rewards(reno, alone)
    if transfer is not None:
        yield verdicts.check(
            "transfer", transfer[1].reward, transfer[0].reward, f"Drawn by {params.transfer_model}."
        )


def _equal_iterations(reno: Final, best: Final) -> ClaimCheck:
    """`best` is best-of-N after as many looks, or after all it had where ReNO had more iterations."""
    found = verdicts.check("equal_iterations", reno.reward, best.reward, f"Against {best.looks} looks.")
    if best.looks == reno.looks:
        return found
    short = f"Not decided: best-of-N looked at {best.looks} noises, and ReNO had {reno.looks} iterations."
    return replace(found, holds=None, detail=short)


def _at_equal_time(key: str, mine: np.ndarray, timed: Timed, theirs: np.ndarray) -> ClaimCheck:
    words = f"{timed.against} took {timed.seconds:.2f} s, in which best-of-N looked at {timed.final.looks} noises."
    found = verdicts.check(key, mine, theirs, words)
    if timed.is_filled:
        return found
    short = f"Best-of-N stopped at {timed.final.looks} noises before its time was up."
    return ClaimCheck(key, found.measured, found.baseline, None, f"{short} {found.detail}")


def _warm(warm: Final, timed: Timed) -> ClaimCheck:
    if warm.judged.strict is None or timed.final.judged.strict is None:
        return ClaimCheck("time_warm", None, None, None, "No exact checker for this model's pictures.")
    return _all_right(_at_equal_time("time_warm", warm.judged.strict, timed, timed.final.judged.strict))


def _all_right(found: ClaimCheck) -> ClaimCheck:
    """Where the baseline has nothing wrong, there is nothing to be better at."""
    if found.baseline == 1.0 and found.measured == 1.0:
        return ClaimCheck(
            found.key, 1.0, 1.0, None, f"Not decided: the baseline is right everywhere. {found.detail}"
        )
    return found


def _norm(reno: Final, free: Final, d: int) -> ClaimCheck:
    """Distances of the last norms from sqrt(d - 1); a band of two standard deviations (.707 each) is 'near'."""
    typical = float(np.sqrt(d - 1))
    mine, theirs = (float(np.abs(final.norm - typical).mean()) for final in (reno, free))
    detail = f"Mean distance of the found noise's norm from {typical:.2f}; near is up to 1.41, two standard deviations."
    return ClaimCheck("norm", mine, theirs, bool(mine <= np.sqrt(2) and mine < theirs), detail)


def _all_rewards(reno: Final, alone: Mapping[str, Final]) -> ClaimCheck:
    if reno.right is None:
        return ClaimCheck("all_rewards", None, None, None, "No exact checker for this model's pictures.")
    name, best = max(alone.items(), key=lambda pair: pair[1].right or 0.0)
    assert reno.judged.strict is not None
    assert best.judged.strict is not None
    # "at least as often" fails where the other's lead holds
    lead = verdicts.compare(best.judged.strict, reno.judged.strict)
    holds = None if lead.holds is None else not lead.holds
    detail = f"{name} minus all rewards. {lead.words}"
    return ClaimCheck("all_rewards", reno.right, best.right, holds, detail)
