"""The experiment: GAMP-RIE, its theory and its baselines on the same data, told in events.

Units: every "mse" is kappa ||Shat - S*||_F^2 / d, so that the trivial estimator Shat = I has 1. alpha = n / d^2.

Contenders (the `series` of scalars):
    "GAMP-RIE"                       the method
    "GAMP-RIE, own estimate"         kappa C, what the algorithm believes of its own error
    "GAMP-RIE, held-out"             the same from samples outside the iteration (with `guard`)
    "Theory"                         Bayes-optimal error for d -> inf;  "Twice theory" is 2 x that (noiseless only)
    "State evolution"                theory of the iteration, step by step
    "Linear estimator" "Linear theory"     best linear estimator, and its error for d -> inf
    "GD"  "AGD"  "AGD, extrapolated" one student; average of the J students' matrices; the same for J -> inf
    "GAMP-RIE on GD's data"          the method on the very data sets of gradient descent (d = baseline_dimension)
    "Trivial"                        Shat = I

Sweep and single run (modes "sweep", "single"). Step = alpha:
    Scalar  "mse"            mean over data sets. "Theory", "Twice theory", "Linear theory", "Trivial" come first, on a
                             fine grid of alpha; then GAMP-RIE (3 series), Linear estimator; then GD, AGD, AGD
                             extrapolated and GAMP-RIE on GD's data
    Scalar  "mse sd"         standard deviation over data sets (GAMP-RIE, Linear estimator, AGD, AGD extrapolated,
                             GAMP-RIE on GD's data) or over all students of all data sets (GD): error bars
    Scalar  "iterations"     GAMP-RIE: iterations used, mean over data sets
    Scalar  "GD over GAMP-RIE"   series "GD", "AGD", "AGD, extrapolated": error over that of GAMP-RIE on the same data
    Scalar  "spread of students" series "GD": sd over initialisations / mean, mean over data sets (trivialisation: 0)
    Scalar  "time/seconds per iteration", "time/seconds per run"   series "GAMP-RIE", "GD" (per step, per J students)
    Array   "mse by data set"    step 0, axes [("alpha", ...), ("data set", 1..seeds)], NaN = not yet; replaced
    Scalar  "distance from theory"   series "GAMP-RIE" and "Linear estimator", step = how many alphas are done:
                             mean |mse - theory| over them (headline)
Watched run (its alpha is `alpha`, in a sweep the nearest one; first data set), step = iteration:
    Array   "spectrum"           axes [("quantity", ["lambda", "xi"]), ("rank", 1..d)]: eigenvalues of R_t, increasing,
                                 and their images xi = eigenvalues of Shat_t (keep)
    Array   "spectrum theory"    axes [("quantity", ["density", "xi"]), ("lambda", grid)]: rho_s and the denoising curve
                                 lambda - 2 s h_s(lambda) at the step's s, on a grid a little wider than the support (keep)
    Array   "spectrum edges"     axes [("edge", 1..2 or 1..4)]: edges of the support of rho_s (keep)
    Array   "true spectrum"      step 0, axes [("rank", 1..d)]: eigenvalues of S* (kappa < 1: d - m of them are 0)
    Array   "true spectrum theory"   step 0, axes [("lambda", grid)]: Marchenko-Pastur density of S* without its atom at 0
    Scalar  "mse by iteration"   series GAMP-RIE, GAMP-RIE own estimate, GAMP-RIE held-out, State evolution (a guarded
                                 restart goes on counting)
    Scalar  "noise level by iteration"   s_t of GAMP-RIE and of State evolution
    Scalar  "change by iteration"        ||Shat_t - Shat_{t-1}||_F^2 / d
    Scalar  "mse by GFLOP"       series GAMP-RIE (step = its matrix-product flops so far / 1e9)
    Array   "S*", "Shat", "difference"   axes [("row", ...), ("column", ...)]: crops of at most 40 x 40; S* at step 0,
                                 the others replaced every fifth iteration and at the end
    Array   "predictions"        step = last iteration, axes [("quantity", ["true", "predicted"]), ("input", 1..400)]:
                                 Tr[Z S*] and Tr[Z Shat] on fresh inputs
    Picture "matrices"           step = alpha, keep: S*, Shat, difference of each alpha's first run side by side (film strip)
Watched gradient descent (same alpha, first data set), step = optimiser step:
    Scalar  "loss by step"       series GD: mean training loss over students
    Scalar  "mse by step"        series GD (mean over students), AGD, AGD extrapolated
    Scalar  "mse by GFLOP"       series GD (one student's flops), AGD (all students' flops)
Contrast run (noiseless sweep with gd, `contrast_delta` > 0):
    Table   "contrast with noise"    contender, mse without noise, mse with noise, spread of students (both) at contrast_alpha
Map (`map`, and a sweep with map_points > 0):
    Array   "best error"         step = rows done, axes [("kappa", ...), ("alpha", ...)]: MMSE; NaN = not yet; replaced
    Array   "recovery line"      step 0, axes [("kappa", ...)]: alpha_PR
Always:
    Text    "setting"            a sentence: d, m, n, noise
    Table   "numbers"            quantity, value: alpha_PR, degrees of freedom, d.o.f. / n, Dt, m, n, flops an iteration
    Table   "results"            a row for each alpha: theory, contenders' mse and sd, own estimate, iterations
    Alert   "finite size", "budget" (step 0), "guard", "divergence" (step = alpha)
    Progress; a ClaimCheck for each claim at the end (not in mode "map")
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from engines.contract import Claim, Context, Engine, Paper, Run
from engines.estimation.gamp_rie.params import Settings, check
from engines.estimation.gamp_rie.presets import PRESETS
from engines.events import Event

SMALL = 256
"""d up to which a run keeps to one BLAS thread."""

PAPER = Paper(
    key="gamp_rie",
    title="Bayes-optimal learning of an extensive-width neural network from quadratically many samples",
    authors=(
        "Antoine Maillard",
        "Emanuele Troiani",
        "Simon Martin",
        "Florent Krzakala",
        "Lenka Zdeborová",
    ),
    year=2024,
    family="estimation",
    summary="The best error with which a wide quadratic network can be learnt, and an algorithm that reaches it.",
    short="GAMP-RIE",
    venue="NeurIPS 2024",
    arxiv="2408.03733",
    code="https://github.com/SPOC-group/ExtensiveWidthQuadraticSamples",
)

CLAIMS = (
    Claim(
        "reaches_theory",
        "GAMP-RIE reaches the Bayes-optimal error for every number of samples, up to effects of finite d.",
        source="Figure of MSE against alpha; checked as mean distance of at most 2.5 / d",
        unit="MSE",
    ),
    Claim(
        "perfect_recovery",
        "Without noise the teacher is recovered perfectly above alpha_PR = kappa - kappa^2 / 2 (1/2 for kappa >= 1).",
        paper="alpha_PR = 0.375 at kappa = 1/2",
        source="alpha_PR; checked as MSE below 0.01 once alpha >= alpha_PR + 0.1",
        unit="MSE",
    ),
    Claim(
        "gd_twice",
        "Without noise one run of gradient descent has twice the Bayes-optimal error, as a sample from the posterior.",
        paper="2",
        source="Checked as ratio to GAMP-RIE on the same data within 15 % of 2",
        unit="ratio",
    ),
    Claim(
        "averaging_reaches",
        "Without noise the average over initialisations of gradient descent reaches the Bayes-optimal error.",
        paper="1",
        source="Checked as ratio of extrapolated AGD to GAMP-RIE on the same data within 15 % of 1",
        unit="ratio",
    ),
    Claim(
        "averaging_fails_with_noise",
        "With noise averaged gradient descent stays above the Bayes-optimal error.",
        source="Checked as ratio of extrapolated AGD to GAMP-RIE on the same data of at least 1.2",
        unit="ratio",
    ),
    Claim(
        "trivialisation",
        "With noise and enough samples all initialisations end in one solution; without noise they differ.",
        paper="beyond alpha = 0.289 at kappa = 1/2, Delta = 1/16",
        source="Official repository's alpha_T; checked as spread over initialisations below 3 % of their error",
        unit="ratio",
    ),
)


def run(settings: Settings, context: Context) -> Run:
    """See the module's docstring for the events."""
    with _threads(settings):
        yield from _events(settings, context)


def _threads(settings: Settings) -> AbstractContextManager[object]:
    """One BLAS thread where the products are small: two gain little there, and cost much on a busy machine."""
    import scipy.linalg  # noqa: F401  (loads its own BLAS, which the limit below must find)
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    size = settings.dimension if settings.mode != "map" else 0
    if "gd" in settings.baselines and settings.mode != "map":
        size = max(size, settings.small_dimension)
    return threadpool_limits(1, user_api="blas") if size <= SMALL else nullcontext()


def _events(settings: Settings, context: Context) -> Iterator[Event]:
    from engines.estimation.gamp_rie import opening, sweep
    from engines.estimation.gamp_rie.checks import claim_checks
    from engines.estimation.gamp_rie.contrast import contrast
    from engines.estimation.gamp_rie.ledger import Ledger
    from engines.estimation.gamp_rie.work import Work

    work = Work(settings)
    yield from opening.introduce(settings)
    if settings.mode != "map":
        yield from opening.theory_lines(settings)
    if settings.mode == "map" or (settings.mode == "sweep" and settings.map_points):
        yield from opening.error_map(settings, work)
    if settings.mode == "map":
        return
    ledger = Ledger()
    yield from sweep.gamp_sweep(settings, context, ledger, work)
    if "gd" in settings.baselines:
        yield from sweep.descent_sweep(settings, context, ledger, work)
        if settings.mode == "sweep" and settings.delta == 0.0 and settings.contrast_delta > 0.0:
            yield from contrast(settings, context, ledger, work)
    yield from claim_checks(settings, ledger)


ENGINE = Engine(
    paper=PAPER,
    params=Settings,
    run=run,
    claims=CLAIMS,
    presets=PRESETS,
    headline=("GAMP-RIE", "distance from theory"),
    about=Path(__file__).with_name("about.md"),
    check=check,
    headline_label="Mean distance from theory (MSE)",
    lower_is_better=True,
)
