"""TDEC's and TOFU's measures against known values and libraries."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import hmean

from engines.language.loku.method import (
    StopRule,
    choice_probability,
    extraction_likelihood,
    forget_quality,
    memorisation_accuracy,
    model_utility,
    overlap,
    probability,
    rouge_recall,
    truth_ratio,
    truth_ratio_for_quality,
    truth_score,
)


def test_overlap_of_the_spec() -> None:
    assert overlap(["a", "b", "c", "d"], ["b", "c"], 2) == pytest.approx(1 / 3)  # type: ignore[arg-type]
    assert overlap([1, 2, 1, 2], [1, 2], 2) == pytest.approx(2 / 3), "repeats of the generated text count"
    assert overlap([1], [1], 2) == 0


def test_a_text_known_by_heart_and_one_unknown() -> None:
    text = list(range(30))

    def by_heart(prefixes, count):
        return [text[len(p) : len(p) + count] for p in prefixes]

    def at_random(prefixes, count):
        return [np.random.default_rng(len(p)).integers(1000, 2000, count).tolist() for p in prefixes]

    assert extraction_likelihood([text, text], by_heart) == [1.0, 1.0]
    assert extraction_likelihood([text], at_random) == [0.0]
    assert memorisation_accuracy([True] * 29) == 1.0


def test_extraction_likelihood_is_the_mean_over_prefixes() -> None:
    text, n = [1, 2, 3, 4, 5, 6], 2

    def half(prefixes, count):  # the first token of the continuation is right, the rest is wrong
        return [[text[len(p)], *[99] * (count - 1)] for p in prefixes]

    assert extraction_likelihood([text], half, n) == [0.0]

    def two(prefixes, count):
        return [[*text[len(p) : len(p) + 2], *[99] * (count - 2)] for p in prefixes]

    # i = 1..4: continuations of 5, 4, 3, 2 tokens hold one right 2-gram of 4, 3, 2, 1
    assert extraction_likelihood([text], two, n)[0] == pytest.approx((1 / 4 + 1 / 3 + 1 / 2 + 1) / 4)
    with pytest.raises(ValueError, match="more than 10 tokens"):
        extraction_likelihood([[1, 2, 3]], two)


def test_stop_rule() -> None:
    rule = StopRule(accuracy=0.3, likelihood=0.05, after=2)
    assert not rule.is_met(0.2, 0.01, epoch=1)
    assert rule.is_met(0.3, 0.05, epoch=2)
    assert not rule.is_met(0.2, 0.06, epoch=2)
    with pytest.raises(ValueError, match="extraction likelihood"):
        rule.is_met(0.2)
    assert StopRule(0.5).is_met(0.5)


def test_probabilities_and_truth_ratios() -> None:
    assert probability(math.log(2)) == pytest.approx(0.5)
    assert choice_probability(0.0, [0.0, 0.0, 0.0]) == pytest.approx(0.25)
    assert choice_probability(800.0, [900.0]) == pytest.approx(1.0), "no underflow"
    assert truth_ratio(1.0, [1.0, 1.0]) == pytest.approx(1.0)
    assert truth_ratio(1.0, [0.0, 2.0]) == pytest.approx((math.e + 1 / math.e) / 2)
    assert truth_ratio_for_quality(1.0, [0.0, 2.0]) == pytest.approx(1.0), "the log-mean is another number"
    assert truth_score([0.25, 2.0], forgotten=False) == pytest.approx(0.375)
    assert truth_score([0.25, 2.0], forgotten=True) == pytest.approx(0.375)
    assert truth_score([0.0], forgotten=True) == 0


def test_rouge_is_recall_with_stemming() -> None:
    assert rouge_recall("the cats sat here", "the cat sat") == 1.0
    assert rouge_recall("", "the cat sat") == 0.0
    assert rouge_recall("cat", "the cat sat") == pytest.approx(1 / 3)


def test_utility() -> None:
    assert model_utility([0.5] * 9) == pytest.approx(0.5)
    assert model_utility([1.0] * 8 + [0.0]) == 0.0
    parts = np.random.default_rng(0).uniform(0.1, 1, 9)
    assert model_utility(parts) == pytest.approx(hmean(parts))
    with pytest.raises(ValueError, match="finite"):
        model_utility([0.5, math.nan])


def test_forget_quality() -> None:
    same = np.random.default_rng(1).uniform(size=24)
    assert forget_quality(same, same).p == pytest.approx(1.0)
    apart = forget_quality(same, same + 10)
    assert apart.statistic == 1.0
    assert apart.p == pytest.approx(6.2e-14, rel=0.02)
    assert apart.log10_p == pytest.approx(-13.2, abs=0.05)
    assert apart.has_power
    assert not forget_quality(same[:8], same[:8] + 10).has_power
    other = np.random.default_rng(2).uniform(size=24)
    assert forget_quality(1 / same, 1 / other).p == pytest.approx(forget_quality(same, other).p)
