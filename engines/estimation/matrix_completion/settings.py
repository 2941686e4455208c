"""What a reader may set: the parameters of the matrix completion engine, their bounds and their combinations."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from engines.contract import Refusal, knob
from engines.estimation.matrix_completion.surface import Surface

SYNTHETIC = "Synthetic matrix"
PICTURE = "Picture and ratings"
PHASE = "Phase diagram"
SCALING = "Scaling"


class Settings(Surface):
    """Parameters of one run: `Surface`, then each problem's advanced fields by group."""

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
        "channels side by side",
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
