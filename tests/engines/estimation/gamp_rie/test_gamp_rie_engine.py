"""The engine: its events, its refusals, its claims, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.contract import Context, Refusal
from engines.estimation.gamp_rie import ENGINE, params
from engines.estimation.gamp_rie.checks import claim_checks
from engines.estimation.gamp_rie.ledger import Ledger, Row, Small
from engines.estimation.gamp_rie.method.denoiser import shrink
from engines.estimation.gamp_rie.params import Settings
from engines.events import Alert, Array, ClaimCheck, Event, Picture, Progress, Scalar, Table
from engines.validation import Refused, validate

TINY: dict[str, Any] = {
    **ENGINE.preset("smoke"), "dimension": 30, "iterations": 8, "steps": 12, "baseline_dimension": 12, "map_points": 6,
}  # fmt: skip


def events(tmp_path: Path, seed: int = 1, **changes: Any) -> list[Event]:
    settings = validate(Settings, {**TINY, **changes})
    return list(ENGINE.run(settings, Context("cpu", seed, tmp_path)))


def same(one: Event, two: Event) -> bool:
    if isinstance(one, Scalar) and isinstance(two, Scalar) and one.is_timing:
        return (one.series, one.name, one.step) == (two.series, two.name, two.step)
    if isinstance(one, Array) and isinstance(two, Array):
        return one.name == two.name and one.step == two.step and one.values.tobytes() == two.values.tobytes()
    if isinstance(one, Picture) and isinstance(two, Picture):
        return one.name == two.name and one.pixels.tobytes() == two.pixels.tobytes()
    return repr(one) == repr(two)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    return events(tmp_path_factory.mktemp("sweep"))


def test_same_seed_same_events_another_seed_others(sweep: list[Event], tmp_path: Path) -> None:
    again = events(tmp_path)
    assert len(again) == len(sweep)
    assert all(same(one, two) for one, two in zip(sweep, again, strict=True))
    other = events(tmp_path, seed=2)
    assert not all(same(one, two) for one, two in zip(sweep, other, strict=False))


def test_all_that_the_figures_read_is_said(sweep: list[Event]) -> None:
    scalars = {(event.series, event.name) for event in sweep if isinstance(event, Scalar)}
    for series in ("Theory", "Twice theory", "Linear theory", "Trivial", "GAMP-RIE", "GAMP-RIE, own estimate",
                   "GAMP-RIE, held-out", "Linear estimator", "GD", "AGD", "AGD, extrapolated",
                   "GAMP-RIE on GD's data"):  # fmt: skip
        assert (series, "mse") in scalars
    for series in ("GAMP-RIE", "GAMP-RIE, own estimate", "GAMP-RIE, held-out", "State evolution"):
        assert (series, "mse by iteration") in scalars
    for pair in (("GAMP-RIE", "noise level by iteration"), ("State evolution", "noise level by iteration"),
                 ("GAMP-RIE", "change by iteration"), ("GAMP-RIE", "mse by GFLOP"), ("AGD", "mse by GFLOP"),
                 ("GD", "loss by step"), ("AGD, extrapolated", "mse by step"), ("GD", "mse sd"),
                 ("GD", "spread of students"), ("AGD", "GD over GAMP-RIE"), ENGINE.headline):  # fmt: skip
        assert pair in scalars
    arrays = {event.name for event in sweep if isinstance(event, Array)}
    assert arrays >= {
        "spectrum", "spectrum theory", "spectrum edges", "true spectrum", "true spectrum theory", "S*", "Shat",
        "difference", "predictions", "mse by data set", "best error", "recovery line",
    }  # fmt: skip
    assert {event.name for event in sweep if isinstance(event, Table)} == {
        "numbers",
        "results",
        "contrast with noise",
    }
    assert {event.name for event in sweep if isinstance(event, Picture)} == {"matrices"}


def test_arrays_fit_their_axes_and_progress_ends_at_its_total(sweep: list[Event]) -> None:
    for event in sweep:
        if isinstance(event, Array):
            assert event.values.shape == tuple(len(axis.values) for axis in event.axes), event.name
        if isinstance(event, Picture):
            assert event.pixels.dtype == np.uint8
            assert event.pixels.shape[2] == 3
    progress = [event for event in sweep if isinstance(event, Progress)]
    done = [event.done for event in progress]
    assert done == sorted(done)
    assert progress[-1].done == pytest.approx(progress[-1].total)


def test_theory_density_lies_on_the_spectrum(sweep: list[Event]) -> None:
    """What the live panel draws belongs together: mass 1, and the points of the denoiser on its curve."""
    spectrum = {event.step: event for event in sweep if isinstance(event, Array) and event.name == "spectrum"}
    theory = {
        event.step: event for event in sweep if isinstance(event, Array) and event.name == "spectrum theory"
    }
    assert len(spectrum) == len(theory) >= TINY["iterations"]  # more where the guard began again
    noise = {
        event.step: event.value
        for event in sweep
        if isinstance(event, Scalar)
        and (event.series, event.name) == ("GAMP-RIE", "noise level by iteration")
    }
    for step, curve in theory.items():
        grid = np.asarray(curve.axes[1].values)
        assert np.trapezoid(curve.values[0], grid) == pytest.approx(1.0, abs=0.01)
        assert curve.values[1] == pytest.approx(shrink(grid, noise[step], 0.5))
        lam, xi = spectrum[step].values
        assert grid[0] <= lam[0] <= lam[-1] <= grid[-1]
        assert xi == pytest.approx(shrink(lam, noise[step], 0.5))


def test_every_claim_is_checked_once_and_last(sweep: list[Event]) -> None:
    keys = [event.key for event in sweep if isinstance(event, ClaimCheck)]
    assert keys == [claim.key for claim in ENGINE.claims]
    assert all(isinstance(event, ClaimCheck) for event in sweep[-len(keys) :])


def test_a_single_run_and_the_map_alone(tmp_path: Path) -> None:
    single = events(tmp_path, mode="single", alpha=0.4, baselines=("linear",), guard=False)
    assert {
        event.step
        for event in single
        if isinstance(event, Scalar) and event.name == "mse" and event.series == "GAMP-RIE"
    } == {0.4}
    assert not any(
        isinstance(event, Scalar) and event.series in ("GD", "GAMP-RIE, held-out") for event in single
    )
    chart = events(tmp_path, mode="map")
    assert not any(isinstance(event, Scalar | ClaimCheck) for event in chart)
    last = [event for event in chart if isinstance(event, Array) and event.name == "best error"][-1]
    assert np.isfinite(last.values).all()


def test_a_noisy_sweep_and_the_known_mean(tmp_path: Path) -> None:
    noisy = events(tmp_path, delta=0.25, centring="known")
    assert not any(isinstance(event, Scalar) and event.series == "Twice theory" for event in noisy)
    claims = {event.key: event for event in noisy if isinstance(event, ClaimCheck)}
    assert claims["gd_twice"].holds is None
    assert claims["averaging_fails_with_noise"].holds is not None


def test_divergence_is_an_alert_and_a_gap_not_a_crash(tmp_path: Path) -> None:
    said = events(
        tmp_path, mode="single", alpha=0.05, scale="population", damping=0.0, iterations=300, guard=False,
        optimiser="gd", rate=2.0, steps=20, baseline_dimension=20,
    )  # fmt: skip
    assert any(isinstance(event, Alert) and event.name == "divergence" for event in said)
    values = [e.value for e in said if isinstance(e, Scalar) and (e.series, e.name) == ("GAMP-RIE", "mse")]
    assert np.isnan(values).all()
    claims = {event.key: event for event in said if isinstance(event, ClaimCheck)}
    assert claims["reaches_theory"].holds is False


def test_stopping_early_leaves_the_threads_as_they_were(tmp_path: Path) -> None:
    from threadpoolctl import threadpool_info

    before = [pool["num_threads"] for pool in threadpool_info()]
    run: Iterator[Event] = ENGINE.run(validate(Settings, TINY), Context("cpu", 1, tmp_path))
    for _, _ in zip(range(300), run, strict=False):
        pass
    run.close()  # type: ignore[attr-defined]
    assert [pool["num_threads"] for pool in threadpool_info()][: len(before)] == before


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"kappa": 0.0}, "kappa must be a number from 0.05 to 5"),
        ({"kappa": -1.0}, "kappa must be"),
        ({"delta": -0.1}, "delta must be a number from 0 to 1"),
        ({"damping": 1.0}, "damping must be a number from 0 to 0.95"),
        ({"dimension": 5}, "dimension must be a whole number from 10 to 1000"),
        ({"kappa": 0.05, "dimension": 10, "baselines": ()}, "round to at least one hidden unit"),
        ({"mode": "single", "alpha": 0.02, "dimension": 10, "baseline_dimension": 0, "iterations": 5}, None),
        ({"alpha_from": 0.5, "alpha_to": 0.2}, "alpha_from must not exceed alpha_to = 0.2; got 0.5"),
        ({"baseline_dimension": 3}, "baseline_dimension must be 0 (as d) or from 10"),
        ({"student_kappa": 0.01}, "student_kappa must be 0"),
        ({"baselines": ("adam",)}, "baselines must be"),
    ],
)
def test_bad_input_gets_a_sentence(values: dict[str, Any], words: str | None) -> None:
    if words is None:
        assert validate(Settings, values).alphas == (0.02,)
        return
    with pytest.raises(Refused) as refused:
        validate(Settings, values)
    assert words in str(refused.value)


def test_data_that_does_not_fit_is_refused_with_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = validate(Settings, {"dimension": 1000, "alpha_to": 1.0})
    monkeypatch.setattr(params, "memory_bytes", lambda: 2 * 2**30)
    with pytest.raises(Refusal) as refused:
        ENGINE.check(settings, {})
    assert refused.value.field == "dimension"
    fits = int(refused.value.sentence.split("d up to ")[1].split()[0])
    assert 300 < fits < 1000
    ENGINE.check(validate(Settings, {"dimension": fits, "alpha_to": 1.0, "mode": "single", "alpha": 1.0}), {})
    monkeypatch.setattr(params, "memory_bytes", lambda: 1)
    with pytest.raises(Refusal, match="Free some memory"):
        ENGINE.check(validate(Settings, {"dimension": 30}), {})
    ENGINE.check(validate(Settings, {"dimension": 1000, "mode": "map"}), {})


def test_every_preset_is_valid() -> None:
    assert {"smoke", "default", "paper"} <= set(ENGINE.presets)
    for name in ENGINE.presets:
        settings = validate(Settings, ENGINE.preset(name))
        assert settings.watched in settings.alphas


def fake(ratio: float, average: float, gamp_shift: float = 0.0) -> Ledger:
    """A ledger in which GD has `ratio` times and the extrapolated average `average` times the error of GAMP-RIE."""
    ledger = Ledger()
    for alpha, theory in ((0.2, 0.3922), (0.5, 0.0)):
        small = Small([0.4], [[0.4 * ratio * 0.9, 0.4 * ratio * 1.1]], [0.4 * average], [0.4 * average])
        gamp = theory + gamp_shift
        ledger.rows[alpha] = Row(alpha, theory, 0.6, theory, [gamp], [gamp], [gamp], [50], [0.6], small)
    ledger.contrast = {0.0: ledger.rows[0.2].small, 0.0625: Small([0.28], [[0.44, 0.4401]], [0.44], [0.44])}
    return ledger


def test_claims_hold_on_good_numbers_and_fail_on_bad_ones() -> None:
    settings = validate(Settings, {})
    good = {check.key: check.holds for check in claim_checks(settings, fake(2.1, 1.05))}
    assert good == dict.fromkeys(good, True)
    bad = {check.key: check.holds for check in claim_checks(settings, fake(1.0, 1.5, gamp_shift=0.2))}
    assert not any(
        bad[key] for key in ("reaches_theory", "perfect_recovery", "gd_twice", "averaging_reaches")
    )
    ledger = fake(2.0, 1.0)
    ledger.contrast[0.0625] = Small([0.44], [[0.3, 0.6]], [0.44], [0.44])
    worse = {check.key: check.holds for check in claim_checks(settings, ledger)}
    assert worse["averaging_fails_with_noise"] is False
    assert worse["trivialisation"] is False


def test_importing_is_light_and_the_methods_names_come_when_asked_for() -> None:
    code = (
        "import sys, engines.estimation.gamp_rie as g\n"
        "assert not {'torch', 'scipy', 'numba', 'sklearn'} & set(sys.modules), sorted(sys.modules)\n"
        "assert sorted(g.__all__) == dir(g)\n"
        "assert all(hasattr(g, name) for name in g.__all__)\n"
        "assert abs(g.bayes_error(0.2, 0.5) - 0.39220) < 1e-5\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    with pytest.raises(AttributeError, match="no attribute"):
        _ = __import__("engines.estimation.gamp_rie", fromlist=["x"]).nonsense
