"""What a reader may set: the parameters of the matrix completion engine, their bounds and their combinations."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from engines.contract import Params, Refusal, Upload, knob

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
SYNTHETIC = "Synthetic matrix"
PICTURE = "Picture and ratings"
PHASE = "Phase diagram"
SCALING = "Scaling"


class Settings(Params):
    """Parameters of one run. Surface fields first, then the advanced ones by group."""

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

    # Synthetic matrix --------------------------------------------------------------------------------
    size: int = knob(
        2000,
        title="Rows and columns",
        help="Side of the synthetic matrix, 20 to 50,000.",
        ge=20,
        le=50_000,
        advanced=True,
        group=SYNTHETIC,
        log=True,
        demo_max=4000,
    )
    per_row: int = knob(
        200,
        title="Observed entries a row",
        help="Entries of the synthetic matrix that are seen, divided by its rows; 2 to 5,000.",
        ge=2,
        le=5000,
        advanced=True,
        group=SYNTHETIC,
        demo_max=800,
    )
    condition: float = knob(
        1.0,
        title="Condition number",
        help="Largest singular value of the true matrix divided by its smallest, 1 to 10,000.",
        ge=1.0,
        le=1e4,
        advanced=True,
        group=SYNTHETIC,
        log=True,
    )
    noise: float = knob(
        0.0,
        title="Noise",
        help="Standard deviation of the noise on each observed entry; the true entries have root mean square 1.",
        ge=0.0,
        le=10.0,
        advanced=True,
        group=SYNTHETIC,
    )
    hold_out: float = knob(
        0.02,
        title="Held-out share",
        help="Share of the observed entries that no method sees, for the held-out error; 0.001 to 0.5.",
        ge=0.001,
        le=0.5,
        advanced=True,
        group=SYNTHETIC,
    )

    # Picture and ratings -----------------------------------------------------------------------------
    tune: bool = knob(
        True,
        title="Tune rank and ridge",
        help="Choose rank and ridge of every method on a held-out part of the observed entries, over one grid.",
        advanced=True,
        group=PICTURE,
    )
    colour: Literal["grey", "channels side by side"] = knob(
        "grey",
        title="Colour",
        help="Grey, or red, green and blue put side by side as one wide matrix, so that all three share their left factor.",
        advanced=True,
        group=PICTURE,
    )
    side: int = knob(
        384,
        title="Longest side",
        help="Pictures are scaled down until their longer side has this many pixels, 32 to 2,048.",
        unit="pixels",
        ge=32,
        le=2048,
        advanced=True,
        group=PICTURE,
        demo_max=640,
    )
    picture_iterations: int = knob(
        30,
        title="Iterations on the picture",
        help="Outer iterations on pictures and ratings, 1 to 300.",
        ge=1,
        le=300,
        advanced=True,
        group=PICTURE,
    )
    test_share: float = knob(
        0.1,
        title="Test share of the ratings",
        help="Share of the ratings kept for the test error, 0.01 to 0.5.",
        ge=0.01,
        le=0.5,
        advanced=True,
        group=PICTURE,
    )

    # Phase diagram -----------------------------------------------------------------------------------
    phase_size: int = knob(
        120,
        title="Side of a cell's matrix",
        help="Rows and columns of the matrices of the phase diagram, 40 to 400.",
        ge=40,
        le=400,
        advanced=True,
        group=PHASE,
        demo_max=160,
    )
    phase_ranks: int = knob(
        6,
        title="Ranks",
        help="Number of ranks, spread from 1 to a fifth of the side; 2 to 24.",
        ge=2,
        le=24,
        advanced=True,
        group=PHASE,
        demo_max=12,
    )
    phase_fractions: int = knob(
        8,
        title="Sampling rates",
        help="Number of sampling rates, spread from 0.1 to 0.7; 2 to 24.",
        ge=2,
        le=24,
        advanced=True,
        group=PHASE,
        demo_max=12,
    )
    phase_trials: int = knob(
        2,
        title="Matrices a cell",
        help="Random matrices for each cell, 1 to 20.",
        ge=1,
        le=20,
        advanced=True,
        group=PHASE,
        demo_max=4,
    )

    # Scaling -----------------------------------------------------------------------------------------
    scaling_rows: int = knob(
        2000,
        title="Rows of the scaling problem",
        help="Rows and columns of the matrices whose iterations are timed, 200 to 20,000.",
        ge=200,
        le=20_000,
        advanced=True,
        group=SCALING,
        demo_max=2000,
    )
    scaling_per_row: int = knob(
        800,
        title="Entries a row while the rank grows",
        help="Observed entries a row in the sweep over the rank, 50 to 4,000.",
        ge=50,
        le=4000,
        advanced=True,
        group=SCALING,
        demo_max=800,
    )
    repeats: int = knob(
        3,
        title="Repeats",
        help="Timed repeats of each point; the fastest counts; 1 to 20.",
        ge=1,
        le=20,
        advanced=True,
        group=SCALING,
        demo_max=5,
    )

    @model_validator(mode="after")
    def _combinations(self) -> Settings:
        self._check_uploads()
        if self.problem in ("tour", "everything", "synthetic"):
            self._check_synthetic()
        if self.problem in ("scaling", "everything") and self.scaling_per_row > self.scaling_rows:
            raise Refusal(
                "scaling_per_row",
                f"scaling_per_row must be at most scaling_rows={self.scaling_rows}; got {self.scaling_per_row}. "
                "Lower it or enlarge the matrix.",
            )
        return self

    def _check_uploads(self) -> None:
        if self.problem == "ratings" and not self.upload:
            raise Refusal(
                "upload", "upload must be a CSV of row,column,value for the ratings problem; got no file."
            )
        if self.problem in ("tour", "everything", "picture") and self.picture == "upload" and not self.upload:
            raise Refusal(
                "upload",
                "upload must be a picture when picture is 'upload'; got no file. Choose a file or another picture.",
            )

    def _check_synthetic(self) -> None:
        if self.rank > self.size:
            raise Refusal(
                "rank",
                f"rank must be between 1 and size={self.size}; got {self.rank}. Lower rank or enlarge the matrix.",
            )
        if self.per_row > self.size:
            raise Refusal(
                "per_row",
                f"per_row must be at most size={self.size}; got {self.per_row}. Lower it or enlarge the matrix.",
            )
        unknowns = self.rank * (2 * self.size - self.rank)
        seen = int(self.per_row * self.size * (1.0 - self.hold_out))
        if seen < unknowns:
            need = -(-int(unknowns / (1.0 - self.hold_out)) // self.size) + 1
            raise Refusal(
                "per_row",
                f"per_row={self.per_row} gives {seen:,} entries for {unknowns:,} unknowns of a rank-{self.rank} matrix: "
                f"no method can recover it. Use per_row of at least {need}, or a lower rank.",
            )
