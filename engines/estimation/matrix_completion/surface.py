"""The first half of the parameters: what is on the surface of the form, and the solver's knobs."""

from __future__ import annotations

from typing import Literal

from engines.contract import Params, Upload, knob

Problem = Literal["tour", "everything", "synthetic", "picture", "ratings", "phase", "scaling"]
PictureName = Literal[
    "camera",
    "china",
    "flower",
    "astronaut",
    "coffee",
    "cat",
    "rocket",
    "coins",
    "brick",
    "moon",
    "page",
    "upload",
]
Pattern = Literal["uniform", "blocks", "scratches", "missing rows"]
Rival = Literal["exact", "sketch", "softimpute", "lmafit", "scaled_gradient", "mean", "cmfrec"]
Solver = Literal["cg-shared", "sketch-per-row", "exact"]
Sketch = Literal["countsketch", "srht", "gaussian", "row-sampling"]

SOLVER = "Solver"


class Surface(Params):
    """What to complete and how; `Settings` adds each problem's own fields."""

    problem: Problem = knob(
        "tour",
        title="Problem",
        help="What to complete. The tour runs a synthetic race, then a picture, then a coarse phase diagram.",
        labels={
            "tour": "Tour: race, picture, phase diagram",
            "everything": "Everything: the tour, then cost against rank and entries",
            "synthetic": "Synthetic low-rank matrix",
            "picture": "Picture with missing pixels",
            "ratings": "Ratings from a CSV file",
            "phase": "Phase diagram of recovery",
            "scaling": "Cost against rank and entries",
        },
    )
    picture: PictureName = knob(
        "china",
        title="Picture",
        help="A photograph that ships with scikit-image or scikit-learn, or your own upload.",
        labels={"upload": "My upload", "cat": "chelsea the cat"},
    )
    upload: Upload = knob(
        "",
        title="Your file",
        help="A picture (PNG, JPEG, WebP, BMP, TIFF) for the picture problem, or a CSV of row,column,value for ratings.",
        widget="file",
        accept=(".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".csv", ".tsv", ".txt"),
    )
    fraction: float = knob(
        0.25,
        title="Observed share of the picture",
        help="Share of the pixels that the methods may see, above 0 and up to 1.",
        gt=0.0,
        le=1.0,
        step=0.05,
    )
    pattern: Pattern = knob(
        "uniform",
        title="What is missing",
        help="Shape of the hole: single pixels, square blocks, thin scratches, or whole rows (which no low-rank method can fill).",
    )
    rank: int = knob(
        20,
        title="Rank",
        help="Columns of the two factors, 1 to 200. With tuning on, the largest rank tried for pictures and ratings.",
        ge=1,
        le=200,
        demo_max=60,
    )
    rivals: tuple[Rival, ...] = knob(
        ("exact", "sketch", "softimpute", "lmafit", "scaled_gradient", "mean"),
        title="Compared with",
        help="Methods that run beside robust alternating minimisation, on the same entries and seed.",
        widget="choices",
        max_length=7,
        labels={
            "exact": "Exact alternating least squares",
            "sketch": "Sketch per row (the paper's form)",
            "softimpute": "SoftImpute",
            "lmafit": "LMaFit",
            "scaled_gradient": "Scaled gradient",
            "mean": "Mean fill",
            "cmfrec": "cmfrec (if installed)",
        },
    )

    # Solver ------------------------------------------------------------------------------------------
    solver: Solver = knob(
        "cg-shared",
        title="Inner solver",
        help="How each least-squares problem is solved: shared preconditioner and CG, a sketch of its own per row, or exactly.",
        advanced=True,
        group=SOLVER,
    )
    inner_steps: int = knob(
        3,
        title="Inner steps",
        help="Conjugate-gradient steps for each row and half-step, 1 to 50.",
        ge=1,
        le=50,
        advanced=True,
        group=SOLVER,
    )
    inner_tol: float = knob(
        0.1,
        title="Inner tolerance",
        help="A row stops early once its gradient fell by this factor; 0 always takes all inner steps.",
        ge=0.0,
        le=1.0,
        advanced=True,
        group=SOLVER,
    )
    iterations: int = knob(
        60,
        title="Outer iterations",
        help="Most alternations of the two factors, 1 to 500.",
        ge=1,
        le=500,
        advanced=True,
        group=SOLVER,
        demo_max=100,
    )
    tol: float = knob(
        1e-7,
        title="Tolerance",
        help="Stops once the relative residual on the observed entries is below this.",
        gt=0.0,
        le=1.0,
        advanced=True,
        group=SOLVER,
        log=True,
    )
    accelerate: bool = knob(
        True,
        title="Also accelerated",
        help="Adds a contender with over-relaxed half-steps, so that the gain near the recovery threshold is seen.",
        advanced=True,
        group=SOLVER,
    )
    sketch: Sketch = knob(
        "countsketch",
        title="Sketch",
        help="Random projection of the sketch-per-row solver; the paper uses the SRHT.",
        labels={
            "srht": "SRHT (subsampled randomised Hadamard)",
            "countsketch": "CountSketch, two nonzeros a column",
        },
        advanced=True,
        group=SOLVER,
    )
    sketch_ratio: int = knob(
        4,
        title="Sketch rows per rank",
        help="Rows of each sketch divided by the rank, 2 to 10.",
        ge=2,
        le=10,
        advanced=True,
        group=SOLVER,
    )
    clip: bool = knob(
        True,
        title="Clip the start",
        help="Zero the entries of the spectral start that exceed 2 mu sqrt(k/m), then orthonormalise (step 3 of the paper).",
        advanced=True,
        group=SOLVER,
    )
    split: bool = knob(
        False,
        title="Sample splitting",
        help="Adds a contender that uses a fresh part of the entries for every half-step, as the proof demands. It hurts.",
        advanced=True,
        group=SOLVER,
    )
    ridge: float = knob(
        0.0,
        title="Ridge",
        help="Penalty on the factors as a share of the largest singular value of the observed matrix; 0 for exact data. Tuned for pictures and ratings.",
        ge=0.0,
        le=1.0,
        advanced=True,
        group=SOLVER,
    )
    start: Literal["spectral", "random"] = knob(
        "spectral",
        title="Start",
        help="First factor: top singular vectors of the zero-filled matrix, or random orthonormal columns.",
        advanced=True,
        group=SOLVER,
    )
    power_steps: int = knob(
        2,
        title="Power steps of the start",
        help="Steps of the randomised SVD behind the spectral start, 0 to 20.",
        ge=0,
        le=20,
        advanced=True,
        group=SOLVER,
    )
    precision: Literal["float64", "float32"] = knob(
        "float64",
        title="Precision",
        help="Precision of the factors; float32 reaches relative errors of about 1e-5.",
        advanced=True,
        group=SOLVER,
    )
    threads: int = knob(
        0,
        title="Threads",
        help="Threads that share the rows, 0 for all cores of this process.",
        ge=0,
        le=256,
        advanced=True,
        group=SOLVER,
    )
