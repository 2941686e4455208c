"""TTSnap live: a search watched, the noise-aware reward trained, and stored rewards replayed.

Events. Series are contenders: "TTSnap" is the method (cuts by the noise-aware reward; with the adaptive cut it has that, and
"TTSnap, fixed cuts" stands beside it), "Plain pruning" the same cuts by the plain reward, "Best of N", "Fewer steps", "Random
pruning", "Oracle pruning".

Search. Scalars: `seeds in the race`, `calls spent`, `best prediction` by denoising step (of whoever runs live);
`final reward` (step axis = budget; for the prompt itself), `final reward over budgets` and `spread over budgets` (step axis
= budget; held-out prompts), `seconds of the budget` (by the measured seconds of a call and of a verification), `TFLOPs` (of "A
call", step 0), `Spearman`, `Kendall`, `top quarter` by denoising step (series "Noise-aware", "Plain"), `right by the checker`
(step = budget), `calls saved`, `time/seconds`.
Arrays, kept by denoising step: `board` (seed, row, column, colour; uint8) and `board scores` (seed x prediction, kept) at the
cuts; between them `estimates` (as `board`, smaller) and `estimate scores` (seed x prediction) of those in the race; at the end
`predicted and final` (seed x prediction, plain score, final reward, fate), by step; `finished` and `finished scores` (seed x
final reward, winner); `compute` (what x stage; calls). Pictures: `The race/leader`, `In the race/seed k`,
`Winners/<contender>`.
Tables: `Contenders on this prompt`, `Contenders on held-out prompts`, `The same with a verification at 2.5 calls`, `Stages`,
`Relative increase`, `Operations of one seed`, `seconds: what a verification costs here`. File: `table` (npz, for the replay
lab). Texts: `cuts`, `what was saved`, `prompts`, `seeds brought`, `contenders` (where the cut seeds are not finished), `memory`
(full-size models).
Training. Scalars: `loss` (step axis = updates; series "level s" folded into "Noise-aware"), `loss of a level` (step = level),
`Spearman` by denoising step; arrays `alignment while learning` (series x step, kept by updates). File: `weights`.
Replay. Scalars as the budgets of Search; tables `Schedules found`, `Relative increase`; array `schedules` (tried x calls,
reward on the choosing half). Texts: `stored rewards`, `cuts`, `fewer steps` (where a file does not know them).
Alerts: `pool is small`, `no noise-aware reward`, `early cut`, `official accounting`, `schedules left out`, `adaptive cut`.
Claims: `claim_list.CLAIMS`.
"""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Executor
from pathlib import Path

from engines.contract import Context, Engine, Paper, Run
from engines.devices import two_lanes
from engines.events import Event
from engines.images.ttsnap.claim_list import CLAIMS
from engines.images.ttsnap.params import TTSnapParams
from engines.images.ttsnap.presets import PRESETS, REPRODUCE
from engines.images.ttsnap.rules import check_inputs

PAPER = Paper(
    key="ttsnap",
    title="TTSnap: Test-Time Scaling of Diffusion Models via Noise-Aware Pruning",
    authors=(
        "Q. Yu", "C. Song", "M. Sun", "Z. Yu", "V. K. Verma", "S. Roy", "S. Negi", "H. Li", "D. Campbell",
    ),
    year=2025,
    family="images",
    summary="Judge pictures half-drawn, drop the worst early, and spend the saved calls on more seeds.",
    short="TTSnap",
    arxiv="2511.22242",
    code="https://github.com/TerrysLearning/TTSnap",
)  # fmt: skip


def run(params: TTSnapParams, context: Context) -> Run:
    """The chosen experiment."""
    with two_lanes(params.is_world) as lane:
        yield from _events(params, context, lane)


def _events(params: TTSnapParams, context: Context, lane: Executor | None) -> Generator[Event, None, None]:
    if params.experiment == "train":
        from engines.images.ttsnap import training

        yield from training.run(params, context)
    elif params.experiment == "replay":
        from engines.images.ttsnap import replaying

        yield from replaying.run(params, context, lane)
    else:
        from engines.images.ttsnap import searching

        yield from searching.run(params, context, lane)


ENGINE = Engine(
    paper=PAPER,
    params=TTSnapParams,
    run=run,
    claims=CLAIMS,
    presets=PRESETS,
    headline=("TTSnap", "final reward"),
    headline_label="final reward",
    lower_is_better=False,
    about=Path(__file__).parent / "about.md",
    check=check_inputs,
    reproduce=REPRODUCE,
)
