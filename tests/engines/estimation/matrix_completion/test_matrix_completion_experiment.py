"""The experiment's problems from the outside: events, uploads, errors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engines.contract import Context, Refusal
from engines.estimation.matrix_completion import ENGINE
from engines.estimation.matrix_completion.problems import images, race, table_file
from engines.estimation.matrix_completion.problems.scaling import slope
from engines.estimation.matrix_completion.settings import Settings
from engines.events import Alert, Array, ClaimCheck, Event, File, Picture, Progress, Scalar, Table
from engines.validation import Refused, validate

NAME = "sha256:" + "0" * 64 + "/"
SMALL = {**ENGINE.preset("smoke"), "rivals": ("exact", "softimpute", "mean")}


def events_of(
    values: Mapping[str, Any], folder: Path, upload: Path | None = None, seed: int = 3
) -> list[Event]:
    inputs = {} if upload is None else {"upload": upload}
    if upload is not None:
        values = {**values, "upload": NAME + upload.name}
    params = validate(Settings, values)
    ENGINE.check(params, inputs)
    return list(ENGINE.run(params, Context("cpu", seed, folder, inputs)))


def fingerprint(events: list[Event]) -> list[Any]:
    """All that must be equal bit for bit."""
    out: list[Any] = []
    for event in events:
        if isinstance(event, Scalar):
            out.append(None if event.is_timing else (event.series, event.name, event.step, repr(event.value)))
        elif isinstance(event, Picture):
            out.append((event.name, event.step, event.pixels.tobytes()))
        elif isinstance(event, Array):
            out.append((event.name, event.step, np.ascontiguousarray(event.values).tobytes()))
        else:
            out.append(repr(event))
    return out


def test_smoke_tells_everything_and_twice_the_same(tmp_path: Path) -> None:
    first = events_of(ENGINE.preset("smoke"), tmp_path)
    assert fingerprint(first) == fingerprint(events_of(ENGINE.preset("smoke"), tmp_path))
    scalars = {(e.series, e.name) for e in first if isinstance(e, Scalar)}
    for series in (
        "Robust AM",
        "Robust AM, accelerated",
        "Exact AM",
        "Sketch per row",
        "SoftImpute",
        "LMaFit",
    ):
        for name in (
            "error",
            "held-out error",
            "passes",
            "time/CPU seconds",
            "time/seconds",
            "picture PSNR",
            "picture SSIM",
        ):
            assert (series, name) in scalars
    arrays = {e.name for e in first if isinstance(e, Array)}
    assert arrays >= {"singular values", "true singular values", "inner steps per row", "sketch distortion"}
    assert arrays >= {"recovered/Robust AM", "recovered/Exact AM", "threshold", "picture singular values"}
    assert {e.name for e in first if isinstance(e, Table)} == {"race", "tuning", "picture"}
    pictures = {e.name for e in first if isinstance(e, Picture)}
    assert pictures >= {
        "original",
        "observed",
        "completed/Robust AM",
        "completed/SoftImpute",
        "difference/Robust AM",
    }
    checks = {e.key: e for e in first if isinstance(e, ClaimCheck)}
    assert set(checks) == {"same_trajectory", "cheaper", "geometric", "incoherent", "same_region"}
    assert checks["same_trajectory"].holds
    assert checks["cheaper"].holds is None
    shares = [e.done / e.total for e in first if isinstance(e, Progress)]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    for event in first:
        if isinstance(event, Array):
            assert event.values.shape == tuple(len(axis.values) for axis in event.axes)


def test_claims_can_fail(tmp_path: Path) -> None:
    """One rough step at a low ratio of entries to unknowns leaves the exact trajectory."""
    values = {**SMALL, "problem": "synthetic", "rank": 12, "per_row": 52, "inner_steps": 1, "iterations": 60}
    checks = {e.key: e for e in events_of(values, tmp_path) if isinstance(e, ClaimCheck)}
    assert checks["same_trajectory"].holds is not True


def test_scaling_fits_slopes(tmp_path: Path) -> None:
    values = {**SMALL, "problem": "scaling", "scaling_rows": 200, "scaling_per_row": 100, "repeats": 1}
    found = events_of(values, tmp_path)
    assert {e.key for e in found if isinstance(e, ClaimCheck)} == {"linear_in_rank", "linear_in_entries"}
    assert slope([(1.0, 2.0), (2.0, 8.0), (4.0, 32.0)]) == pytest.approx(2.0)
    assert np.isnan(slope([(1.0, 2.0)]))


def test_split_samples_and_noise(tmp_path: Path) -> None:
    values = {
        **SMALL,
        "problem": "synthetic",
        "split": True,
        "noise": 0.1,
        "condition": 10.0,
        "iterations": 4,
    }
    found = events_of(values, tmp_path)
    last = {e.series: e.value for e in found if isinstance(e, Scalar) and e.name == "error"}
    assert last["Robust AM"] < last["Robust AM, split samples"]
    checks = {e.key: e for e in found if isinstance(e, ClaimCheck)}
    assert checks["same_trajectory"].holds is None


def ratings_csv(path: Path, lines: int = 900) -> Path:
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((40, 2)), rng.standard_normal((30, 2))
    cells = rng.permutation(1200)[:lines]
    rows = [
        f"user {i};film {j};{3.0 + (A[i] @ B[j]):.3f};2024"
        for i, j in zip(*np.divmod(cells, 30), strict=True)
    ]
    path.write_text("\n".join(["who;what;stars;when", *rows, "", rows[0]]) + "\n", encoding="utf-8")
    return path


def test_ratings_from_a_file(tmp_path: Path) -> None:
    values = {**SMALL, "problem": "ratings", "rank": 4, "picture_iterations": 8}
    found = events_of(values, tmp_path, ratings_csv(tmp_path / "stars.csv"))
    last = {e.series: e.value for e in found if isinstance(e, Scalar) and e.name == "ratings RMSE"}
    assert last["Robust AM"] < 0.3 * last["Mean fill"]
    assert any(isinstance(e, Alert) and "1 lines repeat" in e.message for e in found)
    files = {e.name: e.path for e in found if isinstance(e, File)}
    assert files["predictions"].read_text(encoding="utf-8").startswith("who,what,stars,predicted")
    saved = np.load(files["completed matrix"])
    assert (saved["left"] @ saved["right"].T).shape == (len(saved["rows"]), len(saved["columns"])) == (40, 30)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has none"),
        ("a,b,c\n", "has none"),
        ("1,2,3\n1,4\n", "line 2 of bad.csv must be row,column,value"),
        ("1,2,3\n1,4,five\n", "got '1,4,five'"),
        ("1,2,3\n1,4,nan\n", "line 2"),
        ("u,i,r\n1,2,3\n,4,3\n", "line 3"),
    ],
)
def test_bad_lines_are_refused_with_their_number(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    for look in (table_file.check_head, table_file.read):
        with pytest.raises(Refusal, match=words) as refused:
            look(path)
        assert refused.value.field == "upload"


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "photo.csv"
    path.write_bytes(b"\xff\xfe\x80\x81" * 50)
    with pytest.raises(Refusal, match="text file in UTF-8"):
        table_file.check_head(path)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "I;16", "1"])
def test_uploads_of_every_mode(tmp_path: Path, mode: str) -> None:
    rng = np.random.default_rng(0)
    base = Image.fromarray(rng.integers(0, 255, (40, 30, 3), dtype=np.uint8))
    if mode == "I;16":
        picture = Image.fromarray((np.arange(1200, dtype=np.uint16) * 50).reshape(40, 30))
    else:
        picture = base.convert(mode)
    path = tmp_path / "upload.png"
    picture.save(path)
    images.check_header(path)
    photo = images.photograph("upload", path, 32, colour=True)
    assert photo.pixels.shape == (32, 24, 3)
    assert 0.0 <= photo.pixels.min() <= photo.pixels.max() <= 1.0
    np.testing.assert_allclose(photo.picture_of(photo.matrix), photo.pixels)


def test_an_uploaded_picture_runs(tmp_path: Path) -> None:
    path = tmp_path / "mine.png"
    gradient = np.add.outer(np.arange(32), np.arange(48)) * 2
    Image.fromarray(gradient.astype(np.uint8)).save(path)
    values = {**SMALL, "problem": "picture", "picture": "upload", "pattern": "missing rows", "fraction": 0.5}
    found = events_of(values, tmp_path, path)
    assert any(
        isinstance(e, Alert) and "16 rows and 0 columns have no observed pixel" in e.message for e in found
    )


def test_hopeless_sizes_are_refused_in_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = {**SMALL, "problem": "picture"}
    with pytest.raises(Refusal, match="fewer than 20") as refused:
        events_of({**picture, "fraction": 0.001}, tmp_path)
    assert refused.value.field == "fraction"
    with pytest.raises(Refusal, match="fewer than the") as refused:
        events_of({**picture, "tune": False, "rank": 40}, tmp_path)
    assert refused.value.field == "rank"
    monkeypatch.setattr("engines.estimation.matrix_completion.experiment.memory_bytes", lambda: 1000)
    with pytest.raises(Refusal, match="GiB of memory") as refused:
        ENGINE.check(validate(Settings, SMALL), {})
    assert refused.value.field == "per_row"


def test_pictures_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, tiny, cut = tmp_path / "notes.png", tmp_path / "tiny.png", tmp_path / "cut.png"
    text.write_text("no picture")
    Image.new("RGB", (3, 3)).save(tiny)
    with pytest.raises(Refusal, match="is none that can be read"):
        images.check_header(text)
    with pytest.raises(Refusal, match="at least 16 pixels"):
        images.check_header(tiny)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90, 3), dtype=np.uint8)).save(cut)
    cut.write_bytes(cut.read_bytes()[:2000])
    with pytest.raises(Refusal, match=r"damaged|none that can be read"):
        images.photograph("upload", cut, 64, colour=False)
    monkeypatch.setattr(images, "LARGEST_PIXELS", 100)
    Image.new("RGB", (20, 20)).save(tiny)
    with pytest.raises(Refusal, match="at most 100 pixels"):
        images.check_header(tiny)


@pytest.mark.parametrize(
    "name", ["camera", "china", "flower", "astronaut", "coffee", "cat", "rocket", "coins"]
)
def test_bundled_pictures_are_there(name: str) -> None:
    photo = images.photograph(name, None, 64, colour=False)
    assert max(photo.pixels.shape) == 64
    assert photo.pixels.std() > 0.05


@pytest.mark.parametrize("pattern", ["uniform", "blocks", "scratches", "missing rows"])
def test_masks_keep_about_the_fraction(pattern: str) -> None:
    seen = images.mask(pattern, (60, 80), 0.4, np.random.default_rng(0))
    assert seen.mean() == pytest.approx(0.4, abs=0.05)
    assert images.mask(pattern, (60, 80), 1.0, np.random.default_rng(0)).all()
    assert images.mask(pattern, (20, 20), 1e-6, np.random.default_rng(0)).any()


def test_ssim_and_psnr_are_scikit_images() -> None:
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    rng = np.random.default_rng(0)
    truth = rng.random((40, 50, 3))
    answer = np.clip(truth + 0.1 * rng.standard_normal(truth.shape), 0.0, 1.0)
    everywhere = np.ones((40, 50), bool)
    _, full = structural_similarity(truth, answer, data_range=1.0, full=True, channel_axis=-1)
    assert images.ssim(truth, answer, everywhere) == pytest.approx(float(full.mean()), abs=1e-9)
    assert images.psnr(truth, answer, everywhere) == pytest.approx(
        peak_signal_noise_ratio(truth, answer, data_range=1.0)
    )
    assert images.psnr(truth, truth, everywhere) == np.inf
    assert images.ssim(truth, answer, ~everywhere) == 1.0


def test_truth_has_its_spectrum_and_size() -> None:
    for condition in (1.0, 50.0):
        truth = race.truth_of(200, 150, 4, condition, np.random.default_rng(0))
        M = truth.scaled @ truth.right.T
        assert np.sqrt(np.mean(M**2)) == pytest.approx(1.0)
        assert condition == 1.0 or truth.singular[0] / truth.singular[-1] == pytest.approx(condition)
    rows, cols = race.distinct_entries(50, 40, 1500, np.random.default_rng(0))
    assert len(set(zip(rows.tolist(), cols.tolist(), strict=True))) == 1500


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"rank": 0}, "rank"),
        ({"rank": 201}, "rank"),
        ({"fraction": 0.0}, "fraction"),
        ({"fraction": 1.5}, "fraction"),
        ({"rank": 150, "per_row": 200}, "per_row"),
        ({"size": 100, "per_row": 101, "rank": 2}, "per_row"),
        ({"size": 20, "per_row": 20, "rank": 30}, "rank"),
        ({"problem": "ratings"}, "upload"),
        ({"problem": "picture", "picture": "upload"}, "upload"),
        ({"problem": "scaling", "scaling_rows": 200}, "scaling_per_row"),
        ({"upload": "/etc/passwd"}, "upload"),
    ],
)
def test_bad_settings_name_their_field(values: dict[str, Any], field: str) -> None:
    with pytest.raises(Refused) as refused:
        validate(Settings, values)
    assert refused.value.errors[0].field == field
    assert refused.value.errors[0].sentence.endswith(".")


def test_every_preset_is_valid_and_every_claim_declared() -> None:
    for name in ENGINE.presets:
        validate(Settings, ENGINE.preset(name))
    validate(Settings, {**ENGINE.preset("default"), **ENGINE.reproduce})
    assert all(claim.paper is None for claim in ENGINE.claims)
    headings = [
        line for line in ENGINE.about.read_text(encoding="utf-8").splitlines() if line.startswith("## ")
    ]
    assert headings == [
        "## The idea", "## Key formula", "## What to try", "## How to read the plots",
        "## Departures from the paper", "## Results here", "## Cite",
    ]  # fmt: skip
