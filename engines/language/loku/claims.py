"""The claims that a run checks, and how each is decided from what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from engines.contract import Claim
from engines.events import ClaimCheck
from engines.language.loku.contenders import METHOD

if TYPE_CHECKING:
    from engines.language.loku.contest import Outcome, Race
    from engines.language.loku.setup import Setup

SOURCE = "arXiv 2408.06621, abstract and experiments; the tables' figures could not be confirmed"
UNCHANGED = 1e-3

CLAIMS = (
    Claim("utility", "Where forgetting is equal, IHL + FILA keeps more model utility than GA and GradDiff", source=SOURCE),
    Claim("utility_plain", "Where forgetting is equal, IHL with plain LoRA keeps more model utility than GA and GradDiff", source=SOURCE),
    Claim("steps", "At one learning rate FILA brings IHL to the threshold in fewer steps than plain LoRA", source=SOURCE, unit="steps"),
    Claim("quality", "IHL + FILA brings the truth ratios nearer to those of a model that never saw the data (log10 p)", source=SOURCE),
    Claim("preserved", "FILA leaves the function of the model as it was: no logit moves by 0.001 at the start", source="by construction"),
)  # fmt: skip


def check(setup: Setup, outcomes: Sequence[Outcome], race: Race | None) -> Iterator[ClaimCheck]:
    """A verdict for each claim whose contenders took part."""
    by_series = {outcome.contender.series: outcome for outcome in outcomes}
    rivals = [by_series[name] for name in ("GA", "GradDiff") if name in by_series]
    for key, series in (("utility", METHOD), ("utility_plain", "IHL")):
        if series in by_series and rivals:
            yield _utility(key, by_series[series], rivals)
    if race is not None and "IHL" in by_series:
        yield _steps(race, by_series["IHL"])
    if METHOD in by_series:
        yield _quality(setup, by_series[METHOD])
        change = by_series[METHOD].start_change
        assert change is not None
        yield ClaimCheck(
            "preserved",
            change,
            UNCHANGED,
            bool(change < UNCHANGED),
            "Largest change of a logit on 16 questions.",
        )


def _utility(key: str, mine: Outcome, rivals: Sequence[Outcome]) -> ClaimCheck:
    """Utility at the threshold. A rival that did not reach it forgot less, which is no equal forgetting."""
    compared = [rival for rival in rivals if rival.reached]
    late = [rival.contender.series for rival in rivals if not rival.reached]
    detail = f"{', '.join(late)} did not reach the threshold and cannot be compared. " if late else ""
    if not mine.reached:
        return ClaimCheck(
            key, mine.quality.utility, None, False if compared else None,
            f"{detail}{mine.contender.series} did not reach the threshold within the epochs.",
        )  # fmt: skip
    if not compared:
        return ClaimCheck(key, mine.quality.utility, None, None, f"{detail}Nobody is left to compare with.")
    best = max(compared, key=lambda rival: rival.quality.utility)
    told = ", ".join(
        f"{o.contender.series} {o.quality.utility:.3f} at accuracy {o.quality.forget.known:.2f}"
        for o in (mine, *compared)
    )
    return ClaimCheck(
        key,
        mine.quality.utility,
        best.quality.utility,
        bool(mine.quality.utility > best.quality.utility),
        f"{detail}{told}.",
    )


def _steps(race: Race, plain: Outcome) -> ClaimCheck:
    """Steps of FILA and of plain LoRA at the same learning rate, that of plain LoRA."""
    words = f"Both at the learning rate {race.rate:g}; the utilities there are {race.utility:.3f} and {plain.quality.utility:.3f}."
    if not race.reached:
        holds = False if plain.reached else None
        return ClaimCheck(
            "steps",
            None,
            float(plain.steps) if plain.reached else None,
            holds,
            f"FILA did not reach the threshold. {words}",
        )
    if not plain.reached:
        return ClaimCheck(
            "steps",
            float(race.steps),
            None,
            True,
            f"Plain LoRA did not reach the threshold in {plain.steps} steps. {words}",
        )
    return ClaimCheck("steps", float(race.steps), float(plain.steps), race.steps < plain.steps, words)


def _quality(setup: Setup, mine: Outcome) -> ClaimCheck:
    from engines.language.loku.report import quality_test

    after, before = quality_test(setup, mine.quality), quality_test(setup, setup.before)
    if after is None or before is None:
        return ClaimCheck(
            "quality",
            None,
            None,
            None,
            "It needs a retain-only model and wrong options, which this task lacks.",
        )
    words = f"p = {after.p:.2g} after and {before.p:.2g} before, over {after.questions} questions; above 0.05 counts as forgotten."
    return ClaimCheck("quality", after.log10_p, before.log10_p, bool(after.p > before.p), words)
