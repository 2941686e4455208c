"""The replay lab: any schedule and budget on stored rewards, and a search for a better schedule."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import Executor
from dataclasses import replace

import numpy as np

from engines.contract import Context, Refusal
from engines.devices import numpy_generator
from engines.events import Alert, Array, Axis, ClaimCheck, Event, File, Progress, Scalar, Table, Text
from engines.images import verdicts
from engines.images.ttsnap import claims, comparison, cost, cuts, figures, judging, lab_file, report, telling
from engines.images.ttsnap.aligning import aligned
from engines.images.ttsnap.contenders import budgets, contenders, curves, outcomes
from engines.images.ttsnap.lab_file import Stored
from engines.images.ttsnap.ledger import joined
from engines.images.ttsnap.method.replay import Lab, replay, search_schedules, worth
from engines.images.ttsnap.method.schedule import PAPER_MULTI, PAPER_SINGLE, SAFE, Prices, Schedule
from engines.images.ttsnap.opening import AWARE, PLAIN, open_models
from engines.images.ttsnap.params import TTSnapParams
from engines.images.ttsnap.pools import Pools, collected

BUDGETS = (0.2, 2.0, 19)
"""From a fifth of the budget to twice of it, as the official notebook's 400 .. 4,000 around 2,000."""
SEARCH_DRAWS = 12
LEVELS = (0, 2, 3, 4, 5, 6, 7, 9, 11, 13)
"""Steps (of 20) that a pool drawn here is scored at."""


def run(params: TTSnapParams, context: Context, lane: Executor | None = None) -> Iterator[Event]:
    """Everything of the experiment. `lane` is a thread in which pools may be drawn ahead."""
    if lab_file.FIELD in context.inputs:
        yield Progress(0, 4, "reading the stored rewards")
        stored = lab_file.read(context.inputs[lab_file.FIELD])
        work, done = 4.0, 1.0
    else:
        stored, work, done = yield from _drawn(params, context, lane)
        path = lab_file.write(context.scratch / "rewards.npz", stored.lab, stored.fewer)
        yield File(
            lab_file.FIELD,
            path,
            "application/zip",
            "stored rewards: replay them with other settings, or read them with NumPy",
        )
    lab = stored.lab
    schedule = _usable(params, lab)
    prices = replace(params.prices, total=lab.total)
    prompts, seeds = lab.final.shape[1:]
    yield Text(
        "stored rewards",
        f"{prompts} prompts x {seeds} seeds, steps {', '.join(map(str, lab.levels))} of {lab.total}.",
    )
    yield from _warnings(params, stored, schedule)
    measured = aligned(lab)
    yield from report.alignment(measured.means)
    yield Progress(done + 1, work, "reward against budget")
    fewer = (stored.fewer, replace(prices, total=stored.fewer.total)) if stored.fewer else None
    some = contenders(lab, schedule, prices, fewer)
    found = curves(
        some, budgets(params.budget, *BUDGETS), draws=params.draws, seed=context.seed, combine=params.combine
    )
    yield from judging.curve_events(found)
    yield from judging.small_pool(found, seeds)
    omega = judging.omegas(found)
    yield Table("Relative increase", ("contender", "Ω (%)"), [[k, v] for k, v in omega.items()])
    at = outcomes(some, params.budget, draws=params.draws, seed=context.seed, combine=params.combine)
    yield judging.contender_table("Contenders on held-out prompts", some, at, None)
    values = {c.name: worth(c.lab, at[c.name].reward).mean(0) for c in some}
    for name, by_prompt in values.items():
        yield Scalar(name, "final reward", params.budget, float(by_prompt.mean()))
    yield Progress(done + 2, work, f"trying {params.tries} schedules")
    check = yield from _search(params, context, lab, prices, schedule)
    yield claims.alignment(measured.by_prompt[PLAIN], measured.by_prompt[AWARE], schedule.steps)
    yield from claims.rewards(values, params.budget)
    yield claims.increase(omega)
    yield check
    yield Progress(work, work, "done")


def _usable(params: TTSnapParams, lab: Lab) -> Schedule:
    """The cuts given, or those that suit, moved to steps that are stored."""
    if not params.has_own_cuts:
        usable = [level for level in lab.levels if level < lab.total - 1]
        return cuts.moved(params.schedule, usable, (lab.total - 1) / (params.steps - 1))
    missing = [step for step in params.schedule.steps if step not in lab.levels]
    if missing:
        raise Refusal(
            "prune_steps",
            f"prune_steps: step {missing[0]} is not among the stored steps {', '.join(map(str, lab.levels))}. Choose some of them.",
        )
    if params.schedule.steps[-1] >= lab.total - 1:
        raise Refusal(
            "prune_steps",
            f"prune_steps must be below {lab.total - 1}, the last of the {lab.total} stored steps; got "
            f"{params.schedule.steps[-1]}.",
        )
    return params.schedule


def _warnings(params: TTSnapParams, stored: Stored, schedule: Schedule) -> Iterator[Event]:
    yield telling.chosen_cuts(params, schedule)
    if params.accounting == "official":
        yield telling.official()
    if params.adaptive:
        yield Alert(
            "adaptive cut",
            0,
            "The adaptive cut is not replayed: TTSnap stands here with the cuts of the schedule.",
        )
    if stored.fewer is None:
        yield Text(
            "fewer steps",
            "The file holds no rewards of the same seeds drawn with fewer steps (fewer_final), so that contender is missing.",
        )


def _drawn(
    params: TTSnapParams, context: Context, lane: Executor | None
) -> Generator[Event, None, tuple[Stored, float, float]]:
    """A pool of held-out prompts, drawn for this replay, with all steps and with half of them."""
    prompts = figures.held(params.bench_prompts)
    few = comparison.fewer_prices(params).total
    scaled = {round(s * (params.steps - 1) / (cuts.STEPS - 1)) for s in LEVELS}
    levels = tuple(sorted(s for s in {*scaled, *params.schedule.steps} if s < params.steps - 1))
    work = float(len(prompts) * (params.steps + few)) + 4
    done = 0.0
    yield Progress(0, work, "loading the models")
    models = open_models(params, context)

    def tick(note: str) -> Progress:
        nonlocal done
        done = min(done + 1, work - 4)
        return Progress(done, work, note)

    with Pools(models, comparison.pools_of(params, context, models, prompts, levels), lane) as drawn:
        ledgers = yield from collected(drawn.ledgers(tick), 2 * len(prompts))
    yield Scalar("A call", "TFLOPs", 0, cost.operations(models, prompts[0]).teraflops)
    return Stored(joined(ledgers[::2], params.pool), joined(ledgers[1::2], params.pool)), work, done


def _search(
    params: TTSnapParams, context: Context, lab: Lab, prices: Prices, schedule: Schedule
) -> Generator[Event, None, ClaimCheck]:
    """Random search on half of the prompts, judged on the other half."""
    key = "found_schedule"
    scorer = AWARE if AWARE in lab.scores else PLAIN
    number = lab.final.shape[1]
    if not params.tries or number < 2:
        return ClaimCheck(key, None, None, None, "No schedules were tried, or there is one prompt only.")
    order = numpy_generator(context.seed, "halves").permutation(number)
    choose, test = lab.take(np.sort(order[: number // 2])), lab.take(np.sort(order[number // 2 :]))
    start = [
        s for s in (schedule, PAPER_SINGLE, PAPER_MULTI, SAFE) if all(step in lab.levels for step in s.steps)
    ]
    ranked = search_schedules(
        choose, scorer, prices, params.budget, tries=params.tries, draws=SEARCH_DRAWS,
        rng=numpy_generator(context.seed, "schedules"), start=start, combine=params.combine,
    )  # fmt: skip
    left_out = len(start) + params.tries - len(ranked)
    if left_out:
        yield Alert(
            "schedules left out", 0,
            f"{left_out} of {len(start) + params.tries} schedules would draw more seeds than the {lab.seeds} that are stored and "
            "were left out: those that cut hardest and earliest. A larger pool or a smaller budget mends it.",
        )  # fmt: skip
    if not ranked:
        return ClaimCheck(
            key, None, None, None, "Every schedule would need more seeds than are stored: lower the budget."
        )
    rows = []
    tested: dict[Schedule, np.ndarray] = {}
    for candidate in dict.fromkeys([schedule, *(s for s, _ in ranked[:10])]):
        count = prices.seeds(candidate, params.budget)
        paid = replay(
            test,
            scorer,
            candidate,
            count,
            draws=params.draws,
            rng=numpy_generator(context.seed, "test"),
            combine=params.combine,
        )
        tested[candidate] = worth(test, paid.reward).mean(0)
        chosen = dict(ranked).get(candidate, float("nan"))
        rows.append(
            [cuts.words(candidate), count, chosen, float(tested[candidate].mean()), candidate == schedule]
        )
    yield Table("Schedules found", ("schedule", "seeds", "choosing half", "test half", "as given"), rows)
    calls = np.array([[prices.seeds(s, params.budget), reward] for s, reward in ranked])
    yield Array(
        "schedules",
        0,
        calls,
        (Axis("schedule", [cuts.words(s) for s, _ in ranked]), Axis("what", ("seeds", "reward"))),
        keep=False,
    )
    best = ranked[0][0]
    yield Scalar("Found schedule", "final reward", params.budget, float(tested[best].mean()))
    if best == schedule:
        return ClaimCheck(
            key,
            float(tested[best].mean()),
            float(tested[schedule].mean()),
            False,
            "The search found none better than the given.",
        )
    words = f"{cuts.words(best).capitalize()}."
    return verdicts.check(key, tested[best], tested[schedule], words, "test prompts")
