"""The inverted hinge loss: the spec's figures, the closed-form gradient, its bounds."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck

from engines.language.loku.method import inverted_hinge, inverted_hinge_gradient
from engines.language.loku.method.inverted_hinge import hinge_terms, watch


def one_position(p: list[float], target: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (1, 2, V) whose first position has these probabilities, and labels that ask for `target` there."""
    logits = torch.tensor(p).clamp_min(1e-30).log().repeat(1, 2, 1)
    return logits, torch.tensor([[-100, target]])


@pytest.mark.parametrize(
    ("p", "target", "loss"),
    [
        ([0.7, 0.2, 0.1], 0, 1.5),
        ([0.7, 0.2, 0.1], 1, 0.5),
        ([0.25] * 4, 2, 1.0),
        ([1.0, 0.0, 0.0], 0, 2.0),
        ([1.0, 0.0, 0.0], 1, 0.0),
    ],
)
def test_known_values(p: list[float], target: int, loss: float) -> None:
    assert float(inverted_hinge(*one_position(p, target))) == pytest.approx(loss, abs=1e-6)


def test_gradient_of_the_spec_and_of_autograd() -> None:
    p = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
    found = inverted_hinge_gradient(p, 0)
    assert found.tolist() == pytest.approx([0.35, -0.30, -0.05])
    assert float(found.sum()) == pytest.approx(0, abs=1e-12)


def test_closed_form_is_autograds_everywhere() -> None:
    draw = torch.Generator().manual_seed(1)
    for _ in range(20):
        z = torch.randn(9, generator=draw).mul(3).requires_grad_()
        target = int(torch.randint(9, (1,), generator=draw))
        terms, _, _ = hinge_terms(z[None], torch.tensor([target]))
        (by_autograd,) = torch.autograd.grad(terms.sum(), z)
        torch.testing.assert_close(
            by_autograd, inverted_hinge_gradient(z.detach().softmax(0), target), atol=1e-6, rtol=1e-5
        )


def test_a_single_step_lowers_the_target_and_raises_only_the_runner_up() -> None:
    p = torch.tensor([0.6, 0.25, 0.1, 0.05])
    moved = (p.log() - 0.5 * inverted_hinge_gradient(p, 0)).softmax(0)
    assert moved[0] < p[0]
    assert moved[1] > p[1]
    assert ((moved / p)[2:] < (moved / p)[1]).all()


def test_it_is_the_mean_over_tokens_not_over_sequences() -> None:
    logits = torch.randn(2, 6, 7, generator=torch.Generator().manual_seed(0))
    labels = torch.full((2, 6), -100)
    labels[0, 2:] = 3
    labels[1, 5] = 4
    each = [
        hinge_terms(logits[b, t - 1][None], labels[b, t][None])[0]
        for b, t in [(0, 2), (0, 3), (0, 4), (0, 5), (1, 5)]
    ]
    torch.testing.assert_close(inverted_hinge(logits, labels), torch.cat(each).mean())


def test_bounded_where_ascent_is_not() -> None:
    logits = torch.zeros(1, 2, 5)
    logits[0, 0, 1] = 80.0  # the target has no mass left
    labels = torch.tensor([[-100, 0]])
    assert float(inverted_hinge(logits, labels)) == pytest.approx(0, abs=1e-6)
    assert inverted_hinge_gradient(logits[0, 0].softmax(0), 0).abs().max() < 1e-6


def test_no_answer_token_is_an_error() -> None:
    with pytest.raises(ValueError, match="no token of the batch carries a loss"):
        inverted_hinge(torch.zeros(1, 3, 4), torch.full((1, 3), -100))


def test_what_is_watched() -> None:
    seen = watch(*one_position([0.7, 0.2, 0.1], 0))
    assert seen["IHL"] == pytest.approx(1.5)
    assert seen["p target"] == pytest.approx(0.7)
    assert seen["p runner-up"] == pytest.approx(0.2)


def test_gradcheck() -> None:
    # gradcheck in float64 is not possible: the loss is computed in float32 by design; its terms are checked instead.
    z = torch.randn(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_()

    def in_double(logits: torch.Tensor) -> torch.Tensor:
        p = logits.softmax(-1)
        target = torch.tensor([0, 3, 5])[:, None]
        return 1 + p.gather(1, target).squeeze(1) - p.scatter(1, target, -1.0).amax(1)

    assert gradcheck(in_double, (z,))
    torch.testing.assert_close(
        in_double(z).float(), hinge_terms(z, torch.tensor([0, 3, 5]))[0], atol=1e-6, rtol=1e-6
    )
