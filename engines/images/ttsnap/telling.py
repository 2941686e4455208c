"""What a reader must know of a search, in words."""

from __future__ import annotations

from collections.abc import Iterator

from engines.events import Alert, Event, Text
from engines.images.ttsnap import cuts
from engines.images.ttsnap.method.schedule import Schedule
from engines.images.ttsnap.opening import Models
from engines.images.ttsnap.params import TTSnapParams

NARROW_SPACE = "\u00a0"


def before(params: TTSnapParams, models: Models, number: int) -> Iterator[Event]:
    """Before the race of `number` seeds: memory, cuts, seeds brought, and what to be wary of."""
    if models.memory:
        yield Text("memory", models.memory)
    yield chosen_cuts(params, params.schedule)
    if models.given is not None:
        yield Text("seeds brought", brought(len(models.given), number))
    if models.note:
        yield Alert("no noise-aware reward", 0, models.note)
    yield from early_cuts(params, models)
    if params.accounting == "official":
        yield official()


def official() -> Alert:
    """That the authors' accounting was chosen."""
    return Alert(
        "official accounting", 0,
        "The authors' accounting forgets one call of every seed that is pruned; the claims are better judged strictly.",
    )  # fmt: skip


def chosen_cuts(params: TTSnapParams, schedule: Schedule) -> Text:
    """Which cuts were made, and who chose them."""
    if params.has_own_cuts:
        why = "as given"
    elif params.is_world:
        why = "found by search for embedded-f"
    else:
        why = "the paper's for FLUX; another model needs a search of its own, in the replay lab"
    return Text("cuts", f"{cuts.words(schedule).capitalize()}: {why}.")


def early_cuts(params: TTSnapParams, models: Models) -> Iterator[Event]:
    """A warning of cuts at steps whose estimates say nearly nothing, where the plain reward makes them or they are hard."""
    shares = dict(zip(params.schedule.steps, params.schedule.keep, strict=True))
    for step in cuts.early(params.schedule, params.steps):
        if shares[step] < 1 and (not models.reads(step) or shares[step] < cuts.HARD):
            who = "a noise-aware reward" if models.reads(step) else "the plain reward"
            yield Alert(
                "early cut", step,
                f"The cut after step {step} follows {who} and keeps {shares[step]:g}: estimates this early hardly differ from the "
                f"prompt's mean, so it drops seeds nearly at random. Never prune hard before step {first_fair(params.steps)}.",
            )  # fmt: skip


def first_fair(steps: int) -> int:
    """The first step whose estimates say something."""
    return next(step for step in range(steps) if step * cuts.STEPS >= cuts.EARLY * steps)


def brought(held: int, number: int) -> str:
    """Which seeds are noises of the reader's file, which holds `held`, in a race of `number`."""
    used = min(held, number)
    which = "Seed 0 is a noise" if used == 1 else f"Seeds 0 to {used - 1} are noises"
    rest = "the others were drawn" if number > used else "the budget buys no other seed"
    more = f" {held - used} more of the file did not fit into the budget." if held > used else ""
    return f"{which} of the file; {rest}.{more}"


def saved(number: int, spent: float, whole: float) -> str:
    """What a race of `number` seeds spent, beside drawing all of them to the end."""
    seeds = f"{number} seed{'s' if number != 1 else ''} for {spent:.0f} calls; drawing {'all of them' if number != 1 else 'it'} to the end"
    if spent > whole:
        return f"{seeds} without a look would cost {whole:.0f}: nothing was saved, the looks at estimates cost more than the cuts spare."
    return f"{seeds} would cost {whole:.0f}: {100 * (whole - spent) / whole:.0f}{NARROW_SPACE}% saved."
