"""OBLR-PO live: the closed-form bandit, the variance audit, and training beside its rivals.

Events (series are contenders' names from `baselines.ARMS`; "OBLR-PO" is the method, names that start with it are its
ablations):

Training, scalars by step: `train reward`, `train reward, smoothed`, `held-out accuracy` (chance of a right answer at
temperature 1), `held-out accuracy by samples` (step axis = responses sampled), `greedy held-out accuracy`, `SNR`, `share
of the largest rate`, `learning rate`, `gradient variance`, `gradient signal`, `entropy` (nats a token), `groups without
signal`, `prompts for SNR 1`, `baseline minus mean reward`, `spread of the weights`, `correlation of the stand-in`, and
`time/sampling|scoring|backward|norms|update` (s).
Tables: `Rollouts` (newest batch), `Learning rates tried`, `Where they ended`. Texts: `learning rates`.

Audits: scalars `audit: variance against RLOO` and `audit: exact b* against the mean` (series "8 responses a prompt", ...);
arrays kept by step: `audit variance`, `audit half width`, `audit SNR`, `audit ratio to RLOO`, `audit ratio low`, `audit
ratio high` (estimator x responses a prompt), `baseline lens` (prompt x mean reward, optimal baseline, mean weight),
`weights by answer` (right, wrong x gradient norm; shares), `variance parabola` (baseline), `parabola marks` (mark).
Tables: `Variance audit`, `Stand-ins for the gradient norm`. Text: `what the audit says`.
A running training obeys the command "audit" (kind "do"): it audits the policy as it stands.

Bandit: scalars `bandit variance` and `bandit baseline` (step axis = p of the better arm), `bandit value` and `bandit SNR`
(by step); array `bandit variance by policy` (policy x baseline); tables `Two arms: exact variance`, `Ten arms: one step
at the SNR rate`.
Alerts: entropy collapsed, gradient is noise, no signal, poor stand-in, not finite, small groups, bound is conservative,
unknown request. Claims: `claims.CLAIMS`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from pathlib import Path

from engines.contract import Context, Engine, Paper, Run
from engines.events import Command, Event, Progress
from engines.language.oblr_po.claims import CLAIMS
from engines.language.oblr_po.params import PRESETS, REPRODUCE, OblrPoParams, check

PAPER = Paper(
    key="oblr_po",
    title="OBLR-PO: A Theoretical Framework for Stable Reinforcement Learning",
    authors=("Zixun Huang", "Jiayi Sheng", "Zeyu Zheng"),
    year=2025,
    family="language",
    summary="Weigh the baseline by gradient norms and set the step from the gradient's signal-to-noise ratio.",
    short="OBLR-PO",
    arxiv="2511.23310",
)


def run(params: OblrPoParams, context: Context) -> Run:
    """The chosen experiment. What the reader asks meanwhile goes to the experiment's inbox."""
    inbox: deque[Command] = deque()
    events = _events(params, context, inbox)
    try:
        for event in events:
            command = yield event
            if command is not None:
                inbox.append(command)
    finally:
        events.close()


def _events(params: OblrPoParams, context: Context, inbox: deque[Command]) -> Generator[Event, None, None]:
    if params.experiment in ("bandit", "all"):
        from engines.language.oblr_po import experiment_bandit

        for event in experiment_bandit.run(params, context):
            if not (params.experiment == "all" and isinstance(event, Progress)):
                yield event
    if params.experiment != "bandit":
        from engines.language.oblr_po import experiment_training

        yield from experiment_training.run(params, context, inbox)


ENGINE = Engine(
    paper=PAPER,
    params=OblrPoParams,
    run=run,
    claims=CLAIMS,
    presets=PRESETS,
    headline=("OBLR-PO", "held-out accuracy"),
    headline_label="held-out accuracy",
    lower_is_better=False,
    about=Path(__file__).parent / "about.md",
    check=check,
    actions={"audit": "Audit now"},
    reproduce=REPRODUCE,
)
