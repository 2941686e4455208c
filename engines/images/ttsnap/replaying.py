"""The replay lab: any schedule and budget on stored rewards, and a search for a better schedule."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace

import numpy as np

from engines.contract import Context, Refusal
from engines.devices import numpy_generator
from engines.events import Alert, Array, Axis, ClaimCheck, Event, File, Progress, Scalar, Table, Text
from engines.images.ttsnap import claims, comparison, figures, lab_file, report
from engines.images.ttsnap.contenders import budgets, contenders, curves, outcomes
from engines.images.ttsnap.ledger import Ledger, joined
from engines.images.ttsnap.method.replay import Lab, replay, search_schedules, worth
from engines.images.ttsnap.method.schedule import PAPER_MULTI, PAPER_SINGLE, SAFE, Prices, Schedule
from engines.images.ttsnap.opening import AWARE, PLAIN, open_models
from engines.images.ttsnap.params import TTSnapParams

BUDGETS = (0.2, 2.0, 19)
"""From a fifth of the budget to twice of it, as the official notebook's 400 .. 4,000 around 2,000."""
SEARCH_DRAWS = 12
LEVELS = (0, 2, 3, 4, 5, 6, 7, 9, 11, 13)
"""Steps (of 20) that a pool drawn here is scored at."""


def run(params: TTSnapParams, context: Context) -> Iterator[Event]:
    """Everything of the experiment."""
    if "table" in context.inputs:
        yield Progress(0, 4, "reading the stored rewards")
        lab = lab_file.read(context.inputs["table"])
        work, done = 4.0, 1.0
    else:
        lab, work, done = yield from _drawn(params, context)
        path = lab_file.write(context.scratch / "rewards.npz", lab)
        yield File(
            "table",
            path,
            "application/zip",
            "stored rewards: upload them here again, or read them with NumPy",
        )
    schedule = _usable(params.schedule, lab)
    prices = replace(params.prices, total=lab.total)
    prompts, seeds = lab.final.shape[1:]
    yield Text(
        "stored rewards",
        f"{prompts} prompts x {seeds} seeds, steps {', '.join(map(str, lab.levels))} of {lab.total}.",
    )
    measured = comparison.alignment_of(lab)
    yield from report.alignment(measured)
    yield Progress(done + 1, work, "reward against budget")
    some = contenders(lab, schedule, prices, None)
    found = curves(
        some, budgets(params.budget, *BUDGETS), draws=params.draws, seed=context.seed, combine=params.combine
    )
    yield from comparison.curve_events(found)
    if any(c.is_clamped for c in found.values()):
        yield Alert(
            "pool is small",
            0,
            f"The largest budgets could buy more seeds than the {seeds} that are stored: clamped.",
        )
    omega = comparison.omegas(found)
    yield Table("Relative increase", ("contender", "Ω (%)"), [[k, v] for k, v in omega.items()])
    at = outcomes(some, params.budget, draws=params.draws, seed=context.seed, combine=params.combine)
    yield comparison.contender_table("Contenders on held-out prompts", some, at, None)
    for c in some:
        yield Scalar(c.name, "final reward", params.budget, float(worth(lab, at[c.name].reward).mean()))
    yield Progress(done + 2, work, f"trying {params.tries} schedules")
    check = yield from _search(params, context, lab, prices, schedule)
    plain = measured[PLAIN]["Spearman"]
    aware = measured[AWARE]["Spearman"] if AWARE in measured else {}
    yield claims.alignment(plain, aware, schedule.steps)
    yield from claims.rewards({c.name: worth(lab, at[c.name].reward).mean(0) for c in some}, params.budget)
    yield claims.increase(omega)
    yield check
    yield Progress(work, work, "done")


def _usable(schedule: Schedule, lab: Lab) -> Schedule:
    missing = [step for step in schedule.steps if step not in lab.levels]
    if missing:
        raise Refusal(
            "prune_steps",
            f"prune_steps: step {missing[0]} is not among the stored steps {', '.join(map(str, lab.levels))}. Choose some of them.",
        )
    return schedule


def _drawn(params: TTSnapParams, context: Context) -> Generator[Event, None, tuple[Lab, float, float]]:
    """A pool of held-out prompts, drawn for this replay."""
    prompts = figures.held(params.bench_prompts)
    if len(prompts) < 2 or not params.is_world:
        raise Refusal(
            "table",
            "table must hold stored rewards here: without a file, bench_prompts must be at least 2 of the embedded model.",
        )
    scaled = {round(s * (params.steps - 1) / 19) for s in LEVELS}
    levels = tuple(sorted(s for s in {*scaled, *params.prune_steps} if s < params.steps - 1))
    work = float(len(prompts) * (params.steps + len(levels) + 1)) + 4
    done = 0.0
    yield Progress(0, work, "loading the models")
    models = open_models(params, context)
    ledgers: list[Ledger] = []

    def tick(note: str) -> Progress:
        nonlocal done
        done = min(done + 1, work - 4)
        return Progress(done, work, note)

    for place, prompt in enumerate(prompts):
        noise = models.noise(params.pool, context.seed, models.spelled(prompt))
        note = f"drawing prompt {place + 1} of {len(prompts)}"
        ledgers.append(
            (yield from comparison.finish(params, models, prompt, noise, levels, params.steps, tick, note))
        )
    return joined(ledgers, params.pool), work, done


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
            [_words(candidate), count, chosen, float(tested[candidate].mean()), candidate == schedule]
        )
    yield Table("Schedules found", ("schedule", "seeds", "choosing half", "test half", "as given"), rows)
    calls = np.array([[prices.seeds(s, params.budget), reward] for s, reward in ranked])
    yield Array(
        "schedules",
        0,
        calls,
        (Axis("schedule", [_words(s) for s, _ in ranked]), Axis("what", ("seeds", "reward"))),
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
    gap = tested[best] - tested[schedule]
    error = float(gap.std(ddof=1) / np.sqrt(len(gap))) if len(gap) > 1 else float("nan")
    words = f"{_words(best)}: {gap.mean():+.4f} on {len(gap)} test prompts, standard error {error:.4f}."
    return ClaimCheck(
        key, float(tested[best].mean()), float(tested[schedule].mean()), bool(gap.mean() > 0), words
    )


def _words(schedule: Schedule) -> str:
    """ "keep .4, .4, .5 after 2, 6, 11"."""
    if not schedule.steps:
        return "no cut"
    keep = ", ".join(f"{share:g}" for share in schedule.keep)
    return f"keep {keep} after {', '.join(map(str, schedule.steps))}"
