"""ReNO live: one prompt watched, or a list of prompts measured.

Events (series are contenders: "ReNO" is the method; "ReNO, ..." and "ReNO without R1" are extensions and ablations; "Best
of N", "Zero-order search"; rewards by title for their own parts):

One prompt, scalars by iteration (by look for best-of-N, three an iteration): `reward` (weighted sum at the noise at hand),
`best reward`, `noise norm`, `gradient norm` (before clipping), `right` and `demands met` (the exact checker on the best so
far), `not optimised: <title>`, `gain` (series = reward: its weighted gain since the start), `time/seconds`, and of those
whose iterations cost something else than three forward passes a picture (halving, L-BFGS) `passes`. All are means over the
noises; halving's rewards are those of the best noise of each picture.
Pictures: `Before and after/noise k` (the best so far, kept when it changes) and `..., before`; `Every iteration/noise k`;
`Contenders/<name>` (all noises side by side); `The same noise in a many-step model/<name>`.
Arrays: `typical norm` (low, typical, high), `difference, noise k` (row x column), `noise histogram` (start, found, normal x value), `noise autocorrelation` (row x
column lag). File: `noise` (safetensors: noise, start, best_noise, momentum, what the optimizer
knows), live: after Stop it holds what was shown last.
Tables: `Where they ended`, `seconds of each contender`, `Verdicts of the exact checker`. Texts: `reward hacking`, `learning rate`
(where it is automatic), `memory` (full-size models, measured before they are loaded).
Alerts: reward hacking, not finite, negative weight, noise file, slow here, transfer, unknown request.
A run that goes on from another's noise counts ReNO's steps on from that run's.
A running search obeys the command "more" (kind "do"): 50 more iterations for everybody.

List: the `best reward` (and `passes`) curves at the end, arrays `accuracy`, `accuracy low`, `accuracy high` (contender x task;
without a checker `reward by task` and its low and high), tables `Right by task` and `95 % intervals` (or `Reward by task`),
`Where they ended`; a picture for each prompt; files `GenEval, <contender>` (zip, live) where all prompts have GenEval's
metadata. Alerts also: GenEval pictures.
Claims: `claim_list.CLAIMS`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from pathlib import Path

from engines.contract import Context, Engine, Paper, Run
from engines.devices import two_lanes
from engines.events import Command, Event
from engines.images.reno.claim_list import CLAIMS
from engines.images.reno.params import PRESETS, REPRODUCE, RenoParams, check

PAPER = Paper(
    key="reno",
    title="ReNO: Enhancing One-step Text-to-Image Models through Reward-based Noise Optimization",
    authors=("Luca Eyring", "Shyamgopal Karthik", "Karsten Roth", "Alexey Dosovitskiy", "Zeynep Akata"),
    year=2024,
    family="images",
    summary="Freeze a one-step text-to-image model and climb on its input noise until the rewards like the picture.",
    short="ReNO",
    venue="NeurIPS 2024",
    arxiv="2406.04312",
    code="https://github.com/ExplainableML/ReNO",
)


def run(params: RenoParams, context: Context) -> Run:
    """The chosen experiment. What the reader asks meanwhile goes to its inbox."""
    inbox: deque[Command] = deque()
    events = _events(params, context, inbox)
    try:
        for event in events:
            command = yield event
            if command is not None:
                inbox.append(command)
    finally:
        events.close()


def _events(params: RenoParams, context: Context, inbox: deque[Command]) -> Generator[Event, None, None]:
    with two_lanes(params.is_world) as lane:
        if params.experiment == "list":
            from engines.images.reno import listing

            yield from listing.run(params, context, inbox, lane)
        else:
            from engines.images.reno import single

            yield from single.run(params, context, inbox, lane)


ENGINE = Engine(
    paper=PAPER,
    params=RenoParams,
    run=run,
    claims=CLAIMS,
    presets=PRESETS,
    headline=("ReNO", "best reward"),
    headline_label="reward",
    lower_is_better=False,
    about=Path(__file__).parent / "about.md",
    check=check,
    actions={"more": "50 more iterations"},
    reproduce=REPRODUCE,
)
