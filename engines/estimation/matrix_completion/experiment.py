"""The experiment: robust alternating minimisation and its rivals on one problem, told in events.

Events, by problem. The tour says those of the race, the picture and the phase diagram one after the other.
Contenders (the `series` of scalars), in this order where they run:

    "Robust AM"                 the method (plain)
    "Robust AM, accelerated"    the same with over-relaxed half-steps (ablation of ours)
    "Robust AM, split samples"  the proof's sample splitting (only with `split`)
    "Exact AM"                  exact alternating least squares
    "Sketch per row"            the paper's form: a sketch of its own for each row
    "SoftImpute" "LMaFit" "Scaled gradient" "Mean fill" "cmfrec"

First-order rivals make three steps in each round of the race (see `contenders.STEPS_A_ROUND`), so their curves
have more points.

Race (`synthetic`, `tour`, `everything`), step = the contender's own iteration, 0 = the start:
    Scalar  "error"               relative Frobenius error against the true matrix
    Scalar  "held-out error"      relative RMSE on observed entries that nobody saw
    Scalar  "residual"            relative residual on the entries used (for AM: non-increasing)
    Scalar  "passes"              work so far in passes over the entries (4 |Omega| k flops each), cumulative
    Scalar  "time/CPU seconds", "time/seconds"     cumulative, monitoring excluded: x axes of the error curves
    Scalar  "subspace distance"   ||(I - U* U*^T) U_t||_2, AM contenders
    Scalar  "incoherence"         mu(U_t) = max_i sqrt(m/k) ||row_i||, AM contenders
    Scalar  "true incoherence"    series "Truth", step 0
    Scalar  "inner steps"         mean conjugate-gradient steps a row, AM contenders
    Scalar  "relaxation"          omega of the step (1 = none), AM contenders
    Array   "singular values"     step = iteration, axes [("index", 1..k)], of Robust AM (keep)
    Array   "true singular values"  step 0, axes [("index", 1..k)]
    Array   "inner steps per row" step = iteration, counts, axes [("conjugate-gradient steps", 0..inner_steps)] (keep)
    Array   "sketch distortion"   step 0, counts, axes [("eigenvalue of R^T A^T A R", bin centres)] (if Sketch per row runs)
    Table   "race"                contender, rank, iterations, iterations to 1e-6, passes to 1e-6, final error, held-out error, note
Picture (`picture`, `tour`), step = outer iteration:
    Picture "original", "observed"                  step 0 (missing pixels grey)
    Picture "completed/<contender>"                 every iteration for Robust AM (keep), last one for the others and
                                                    a few on the way (keep); captions carry PSNR and SSIM
    Picture "difference/Robust AM"                  last, |completed - original| as grey
    Scalar  "picture PSNR" (dB), "picture SSIM"     on the missing pixels
    Scalar  "picture residual", "picture passes", "time/picture CPU seconds", "time/picture seconds"
    Array   "picture singular values"               step = iteration, axes [("index", 1..k)], of Robust AM (keep)
    Table   "picture"             contender, rank, ridge, iterations, PSNR, SSIM, note
    Table   "tuning"              method, rank, ridge, held-out RMSE of observed entries, chosen (also for ratings)
Ratings (`ratings`), step = outer iteration:
    Scalar  "ratings RMSE", "ratings MAE"           on the test entries, in the file's unit
    Scalar  "ratings residual", "ratings passes", "time/ratings CPU seconds", "time/ratings seconds"
    Array   "ratings singular values"
    Table   "ratings"             contender, rank, ridge, iterations, RMSE, MAE, note
    Table   "ratings preview"     row, column, observed, predicted: some test entries
    Text    "ratings file"        what was read: rows, columns, entries, range
    File    "predictions", "completed matrix"       CSV of the test entries with predictions; factors as .npz
Phase diagram (`phase`, `tour`), step = cell number; NaN = not measured yet:
    Array   "recovered/Robust AM", "recovered/Exact AM"   share of matrices recovered, axes [("rank", ...),
                                                          ("sampling rate", ...)], replaced cell by cell
    Array   "threshold"           step 0, sampling rate with as many entries as unknowns p = k(m+n-k)/(mn), axes [("rank", ...)]
Scaling (`scaling`), step = the swept quantity, series "Robust AM" and "Exact AM" and "Sketch per row":
    Scalar  "time/per iteration by rank"     step = rank, CPU seconds
    Scalar  "time/per iteration by entries"  step = |Omega|, CPU seconds
    Scalar  "time/slope by rank", "time/slope by entries"   step 0: fitted log-log slopes
All problems:
    Progress; Text "setting" (race), "picture setting", "phase setting", "scaling setting": what is run, in a sentence;
    Alert "underdetermined", "unseen lines", "repeated entries"; ClaimCheck at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from engines.contract import Claim, Context, Engine, Paper, Preset, Refusal, Run
from engines.devices import memory_bytes
from engines.estimation.matrix_completion.problems import (
    images,
    phase,
    picture,
    race,
    ratings,
    scaling,
    table_file,
)
from engines.estimation.matrix_completion.settings import Settings
from engines.events import Event, Progress

PAPER = Paper(
    key="matrix_completion",
    title="Low Rank Matrix Completion via Robust Alternating Minimization in Nearly Linear Time",
    authors=("Yuzhou Gu", "Zhao Song", "Junze Yin", "Lichen Zhang"),
    year=2024,
    family="estimation",
    summary="Alternating least squares still converges when each problem is solved only roughly: near-linear time.",
    short="Matrix completion",
    venue="ICLR 2024",
    arxiv="2302.11068",
)

THEORY = "theory only: the paper has no experiments"

CLAIMS = (
    Claim(
        "same_trajectory",
        "Solving each least-squares problem only roughly leaves the number of outer iterations as it was (within 10 %).",
        None,
        f"main theorem; {THEORY}",
        "iterations",
    ),
    Claim(
        "cheaper",
        "An outer iteration with rough solves costs less than one with exact solves.",
        None,
        f"O(|Omega| k) against O(|Omega| k^2), abstract; {THEORY}",
        "CPU seconds",
    ),
    Claim(
        "geometric",
        "The error falls by a constant factor with every iteration, so log(1/eps) iterations suffice.",
        None,
        f"main theorem; {THEORY}",
        "factor",
    ),
    Claim(
        "incoherent",
        "The iterates stay as incoherent as the true factor, up to a constant.",
        None,
        f"the perturbation lemma; {THEORY}",
        "mu",
    ),
    Claim(
        "same_region",
        "Rough solves recover from as few entries as exact ones: the region of success is unchanged.",
        None,
        f"same sample complexity, abstract; {THEORY}",
        "share of matrices",
    ),
    Claim(
        "linear_in_rank",
        "The time of an iteration grows about linearly with the rank (slope at most 1.1), and less than the exact solver's.",
        None,
        f"O(|Omega| k), abstract; {THEORY}",
        "log-log slope",
    ),
    Claim(
        "linear_in_entries",
        "The time of an iteration grows linearly with the number of entries (slope at most 1.1).",
        None,
        f"O(|Omega| k), abstract; {THEORY}",
        "log-log slope",
    ),
)

PRESETS = {
    "smoke": Preset(
        "Smoke test",
        "A 120 x 120 race and a small picture, about a second.",
        {
            "problem": "tour",
            "size": 120,
            "per_row": 50,
            "rank": 3,
            "iterations": 12,
            "side": 48,
            "picture_iterations": 3,
            "colour": "grey",
            "phase_size": 40,
            "phase_ranks": 2,
            "phase_fractions": 2,
            "phase_trials": 1,
            "threads": 1,
        },
    ),
    "default": Preset(
        "Race, picture, phase diagram", "Half a minute on two cores: the claims, then something to look at."
    ),
    "photograph": Preset(
        "A photograph from a quarter of its pixels",
        "China, in colour, filled in beside the baselines; rank and ridge tuned on held-out observed pixels.",
        {"problem": "picture", "rank": 40, "side": 512, "picture_iterations": 40},
    ),
    "phase": Preset(
        "Phase diagram",
        "Which ranks come back from which share of the entries, cell by cell.",
        {"problem": "phase", "phase_ranks": 12, "phase_fractions": 12, "phase_trials": 4},
    ),
    "scaling": Preset(
        "Cost against rank and entries",
        "Seconds of an iteration over the rank and over the number of entries, with fitted slopes.",
        {"problem": "scaling"},
    ),
    "paper": Preset(
        "Full scale",
        "20,000 x 20,000 with 4 million entries at rank 50, a large picture, a fine phase diagram, all slopes: half an hour.",
        {
            "problem": "everything",
            "size": 20_000,
            "per_row": 204,
            "rank": 50,
            "iterations": 100,
            "rivals": ("exact", "softimpute", "lmafit", "scaled_gradient", "mean"),
            "side": 768,
            "phase_size": 200,
            "phase_ranks": 12,
            "phase_fractions": 12,
            "phase_trials": 4,
            "scaling_rows": 5000,
        },
    ),
}

Section = Callable[[Settings, Context, float, float], Iterator[Event]]

SECTIONS: Mapping[str, tuple[tuple[Section, float], ...]] = {
    "tour": ((race.run, 0.4), (picture.run, 0.4), (phase.run, 0.2)),
    "everything": ((race.run, 0.4), (picture.run, 0.2), (phase.run, 0.2), (scaling.run, 0.2)),
    "synthetic": ((race.run, 1.0),),
    "picture": ((picture.run, 1.0),),
    "ratings": ((ratings.run, 1.0),),
    "phase": ((phase.run, 1.0),),
    "scaling": ((scaling.run, 1.0),),
}
"""Parts of each problem, with their share of the progress."""


def run(settings: Settings, context: Context) -> Run:
    """Runs the settings' problem; the events are listed at the top. Claims come last."""
    from engines.estimation.matrix_completion.warm_up import compile_kernels
    from engines.events import ClaimCheck

    yield Progress(0.0, 1.0, "compiling (once per installation)")
    compile_kernels(settings)
    checks = []
    done = 0.0
    for section, share in SECTIONS[settings.problem]:
        for event in section(settings, context, done, share):
            if isinstance(event, ClaimCheck):
                checks.append(event)
            else:
                yield event
        done += share
    yield from checks
    yield Progress(1.0, 1.0, "done")


BYTES_AN_ENTRY = 120
"""Peak memory of the synthetic race and of the scaling problem, measured: both orders of the entries and sorting."""


def check(settings: Settings, inputs: Mapping[str, Path]) -> None:
    """Looks at the upload before a run is recorded: a picture's header and size, the first lines of a CSV; and
    at the memory that the matrices will need."""
    _check_memory(settings)
    path = inputs.get("upload")
    if path is None:
        return
    if settings.problem == "ratings":
        table_file.check_head(path)
    elif settings.problem in ("tour", "picture", "everything") and settings.picture == "upload":
        images.check_header(path)


def _check_memory(settings: Settings) -> None:
    sizes = []
    if settings.problem in ("tour", "synthetic", "everything"):
        sizes.append(("per_row", settings.size, settings.per_row))
    if settings.problem in ("scaling", "everything"):
        sizes.append(("scaling_per_row", settings.scaling_rows, settings.scaling_per_row))
    for field, rows, per_row in sizes:
        need = rows * per_row * BYTES_AN_ENTRY + (16 * rows * rows if 3 * per_row > rows else 0)
        free = memory_bytes()
        if need > free:
            raise Refusal(
                field,
                f"{field}={per_row} on {rows:,} rows needs about {need / 2**30:.1f} GiB of memory; {free / 2**30:.1f} GiB "
                "are free. Lower it or the number of rows.",
            )


ENGINE = Engine(
    paper=PAPER,
    params=Settings,
    run=run,
    claims=CLAIMS,
    presets=PRESETS,
    headline=("Robust AM", "error"),
    about=Path(__file__).with_name("about.md"),
    check=check,
    headline_label="relative error",
    reproduce={"problem": "everything"},
)
