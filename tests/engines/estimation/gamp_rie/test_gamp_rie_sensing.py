"""The operator Z against its dense form, and the statistics of the labels."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from engines.devices import numpy_generator
from engines.estimation.gamp_rie.method.sensing import (
    DeviceSensing,
    HostSensing,
    centred,
    draw_inputs,
    draw_teacher,
    hidden_units,
    network_labels,
)
from engines.estimation.gamp_rie.method.theory import effective_noise


def dense(inputs: np.ndarray) -> np.ndarray:
    """All Z_i as one n x d x d array: what the method never forms."""
    d = inputs.shape[1]
    return (np.einsum("ia,ib->iab", inputs, inputs) - np.eye(d)) / np.sqrt(d)


def symmetric(rng: np.random.Generator, d: int) -> np.ndarray:
    matrix = rng.standard_normal((d, d))
    return matrix + matrix.T


@pytest.mark.parametrize("d", [7, 40, 300])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_both_products_equal_the_dense_form(d: int, dtype: type) -> None:
    rng = np.random.default_rng(d)
    n = 60 if d > 100 else 5000 // d
    inputs = rng.standard_normal((n, d)).astype(dtype)
    z, s, g = dense(inputs.astype(np.float64)), symmetric(rng, d), rng.standard_normal(n)
    operator = HostSensing(inputs)
    tolerance = {"rtol": 1e-10, "atol": 1e-9} if dtype is np.float64 else {"rtol": 2e-4, "atol": 5e-4}
    assert_allclose(operator.forward(s), np.einsum("iab,ab->i", z, s), **tolerance)
    assert_allclose(operator.backward(g), np.einsum("i,iab->ab", g, z), **tolerance)


def test_chunks_of_rows_make_no_difference() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((5000, 12))
    z, s, g = dense(inputs), symmetric(rng, 12), rng.standard_normal(5000)
    operator = HostSensing(inputs)
    assert_allclose(operator.forward(s), np.einsum("iab,ab->i", z, s), atol=1e-10)
    assert_allclose(operator.backward(g), np.einsum("i,iab->ab", g, z), atol=1e-9)


def test_adjoint() -> None:
    rng = np.random.default_rng(5)
    operator = HostSensing(rng.standard_normal((700, 150)))
    s, g = symmetric(rng, 150), rng.standard_normal(700)
    assert_allclose(g @ operator.forward(s), np.sum(operator.backward(g) * s), rtol=1e-10)


def test_the_torch_path_gives_the_same_numbers() -> None:
    rng = np.random.default_rng(2)
    inputs = rng.standard_normal((300, 20)).astype(np.float32)
    host, device = HostSensing(inputs), DeviceSensing(inputs, "cpu")
    s, g = symmetric(rng, 20), rng.standard_normal(300)
    assert_allclose(device.forward(s), host.forward(s), atol=1e-4)
    assert_allclose(device.backward(g), host.backward(g), atol=1e-4)


def test_variance_of_the_measurements_is_twice_the_mean_square() -> None:
    d = 100
    teacher = draw_teacher(d, 0.5, numpy_generator(0, "teacher"))
    inputs = draw_inputs(20_000, d, numpy_generator(0, "inputs"))
    variance = np.var(HostSensing(inputs).forward(teacher.matrix))
    assert_allclose(variance, 2.0 * np.sum(teacher.matrix**2) / d, rtol=0.05)


def test_noiseless_labels_are_the_measurements() -> None:
    d = 30
    teacher = draw_teacher(d, 0.5, numpy_generator(1, "teacher"))
    inputs = draw_inputs(500, d, numpy_generator(1, "inputs"))
    labels = network_labels(teacher, inputs, 0.0, numpy_generator(1, "noise"))
    targets = centred(labels, d, float(np.trace(teacher.matrix)) / d)
    assert_allclose(targets, HostSensing(inputs).forward(teacher.matrix), atol=2e-3)


def test_hidden_noise_acts_as_dt() -> None:
    d, kappa, delta = 100, 0.5, 0.25
    teacher = draw_teacher(d, kappa, numpy_generator(2, "teacher"))
    inputs = draw_inputs(20_000, d, numpy_generator(2, "inputs"))
    labels = network_labels(teacher, inputs, delta, numpy_generator(2, "noise"))
    mean = float(np.trace(teacher.matrix)) / d + delta
    rest = centred(labels, d, mean) - HostSensing(inputs).forward(teacher.matrix)
    assert_allclose(np.var(rest), effective_noise(delta, kappa), rtol=0.1)
    assert abs(np.mean(rest)) < 0.1


def test_a_longer_draw_begins_with_the_shorter_one() -> None:
    short, long = (draw_inputs(n, 9, numpy_generator(4, "inputs")) for n in (50, 80))
    assert_allclose(long[:50], short, rtol=0, atol=0)


def test_teacher_has_mean_one_and_the_rank_of_its_width() -> None:
    teacher = draw_teacher(60, 0.5, numpy_generator(0, "teacher"))
    assert teacher.weights.shape == (30, 60)
    assert np.linalg.matrix_rank(teacher.matrix) == 30
    assert_allclose(np.trace(teacher.matrix) / 60, 1.0, atol=0.1)
    with pytest.raises(ValueError, match="hidden unit"):
        hidden_units(5, 0.05)
