"""Teacher-forced scores and greedy answers against slow and obvious versions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from engines.language import authors
from engines.language.answers import positions, score, token_losses
from engines.language.authors import embedded
from engines.language.generation import answer_questions, continue_greedily, end_marks
from engines.language.prompts import IGNORED, Encoded, Template, collate, encode, encode_prompt

WORLD = authors.build()
TOKENIZER = embedded.build_tokenizer(WORLD)
PLAIN = Template("plain")
ITEMS = [*WORLD.items[0], *WORLD.facts[::9]]


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    """An untrained network whose head is made louder, so that its choices differ from one another."""
    net = embedded.build_model(len(TOKENIZER), seed=3).eval().requires_grad_(False)
    for p in net.parameters():
        p.mul_(4.0)
    return net


def rows(items=ITEMS) -> list[Encoded]:
    return [encode(TOKENIZER, PLAIN, i.question, i.answer, context=64, fact=i.fact) for i in items]


def test_tokens_of_question_and_answer() -> None:
    item = WORLD.items[0][6]
    row = encode(TOKENIZER, PLAIN, item.question, item.answer, context=64, fact=item.fact)
    assert TOKENIZER.decode(row.prompt) == f"Question: {item.question}\nAnswer:"
    assert TOKENIZER.decode(row.answer) == f" {item.answer}<end>"
    assert row.prompt == encode_prompt(TOKENIZER, PLAIN, item.question)
    marked = [token for token, is_fact in zip(row.answer, row.fact, strict=True) if is_fact]
    assert TOKENIZER.decode(marked).strip() == item.fact


def test_every_word_of_the_world_is_one_token() -> None:
    for item in ITEMS:
        row = encode(TOKENIZER, PLAIN, item.question, item.answer, context=64)
        assert len(row.answer) == len(item.answer.split()) + 2  # the full stop and the end mark


def test_any_text_survives_the_tokenizer() -> None:
    text = "Wie heißt der Hund?\nДа, 日本 — ok"
    assert TOKENIZER.decode(TOKENIZER(text)["input_ids"]) == text


def test_an_answer_beyond_the_context_is_cut_and_says_so() -> None:
    item = WORLD.items[0][0]
    row = encode(TOKENIZER, PLAIN, item.question, item.answer, context=12)
    assert row.cut
    assert len(row.ids) == 12
    with pytest.raises(ValueError, match="takes 8 tokens; the model reads 8"):
        encode(TOKENIZER, PLAIN, item.question, item.answer, context=8)
    with pytest.raises(ValueError, match="is empty"):
        encode(TOKENIZER, PLAIN, item.question, "  ", context=64)


def test_batches_carry_a_loss_on_answers_alone() -> None:
    chosen = rows()[:5]
    batch = collate(chosen, pad=0)
    for b, row in enumerate(chosen):
        kept = batch.labels[b][batch.labels[b] != IGNORED]
        assert tuple(kept.tolist()) == row.answer
        assert int(batch.attention[b].sum()) == len(row.ids)
    assert batch.answer_tokens == sum(len(row.answer) for row in chosen)
    with pytest.raises(ValueError, match="at least one row"):
        collate([], pad=0)


def test_scores_equal_those_of_one_row_at_a_time(model: torch.nn.Module) -> None:
    found = score(model, rows(), pad=0, tokens=100)
    for row, scored in zip(rows(), found, strict=True):
        logits = model(torch.tensor([row.ids])).logits[0].double().log_softmax(1)
        slow = [-float(logits[row.start - 1 + t, token]) for t, token in enumerate(row.answer)]
        np.testing.assert_allclose(scored.losses, slow, rtol=1e-4, atol=1e-4)
        assert scored.nll == pytest.approx(sum(slow) / len(slow), rel=1e-4)
        assert scored.total == pytest.approx(sum(slow), rel=1e-4)
        assert scored.probability == pytest.approx(math.exp(-scored.nll))
        best = [int(logits[row.start - 1 + t].argmax()) == token for t, token in enumerate(row.answer)]
        assert scored.right.tolist() == best


def test_a_large_vocabulary_makes_small_batches(
    model: torch.nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engines.language import answers

    sizes: list[int] = []
    seen = model.register_forward_hook(lambda _m, _a, out: sizes.append(out.logits.numel()))
    whole = score(model, rows(), pad=0)
    monkeypatch.setattr(answers, "LOGITS", 60 * len(TOKENIZER))
    before = len(sizes)
    small = score(model, rows(), pad=0)
    seen.remove()
    assert max(sizes[before:]) <= 60 * len(TOKENIZER) < max(sizes[:before])
    assert [s.nll for s in small] == pytest.approx([s.nll for s in whole], rel=1e-5)


def test_the_loss_is_that_of_transformers(model: torch.nn.Module) -> None:
    batch = collate(rows(), pad=0)
    out = model(**batch.inputs(), labels=batch.labels)
    losses, _ = token_losses(out.logits, batch.labels)
    assert float(losses.sum()) / batch.answer_tokens == pytest.approx(float(out.loss), rel=1e-5)


@pytest.mark.parametrize(
    ("right", "expected"), [("1111", 1.0), ("0111", 0.75), ("1101", 0.25), ("1110", 0.0), ("0000", 0.0)]
)
def test_extraction_strength_in_closed_form(right: str, expected: float) -> None:
    from engines.language.answers import Scored

    flags = np.array([c == "1" for c in right])
    scored = Scored(np.zeros(4, np.float32), flags, np.array([True, True, False, False]))
    assert scored.extraction_strength == expected
    assert scored.accuracy == flags.mean()
    assert scored.fact_accuracy == flags[:2].mean()
    assert math.isnan(Scored(np.zeros(4, np.float32), flags, np.zeros(4, bool)).fact_accuracy)


def test_company_does_not_change_an_answer(model: torch.nn.Module) -> None:
    questions = [item.question for item in ITEMS]
    assert len({len(encode_prompt(TOKENIZER, PLAIN, q)) for q in questions}) > 3
    together = answer_questions(model, TOKENIZER, PLAIN, questions, max_new_tokens=16, context=64, rows=3)
    for question, answer in zip(questions, together, strict=True):
        ids = list(encode_prompt(TOKENIZER, PLAIN, question))
        told: list[int] = []
        for _ in range(16):  # no cache, no batch
            told.append(int(model(torch.tensor([ids + told])).logits[0, -1].argmax()))
            if told[-1] == TOKENIZER.eos_token_id:
                break
        ended = told[-1] == TOKENIZER.eos_token_id
        assert answer.ids == tuple(told[:-1] if ended else told)
        assert answer.ended == ended
    assert len({answer.ids for answer in together}) > 3


def test_a_row_that_ended_is_left_alone() -> None:
    """A network that counts up modulo 7: rows meet the end mark 0 at different times."""

    class Counting(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, input_ids, past_key_values=None, use_cache=True):
            logits = torch.nn.functional.one_hot((input_ids + 1) % 7, 7).float()
            return type("Out", (), {"logits": logits, "past_key_values": None})

    told = continue_greedily(
        Counting(), [[1, 2], [1, 5], [3], [6]], max_new_tokens=4, ends=frozenset({0}), rows=9
    )
    assert told == [(3, 4, 5, 6), (6, 0), (4, 5, 6, 0), (0,)]


def test_a_question_without_room_is_refused(model: torch.nn.Module) -> None:
    with pytest.raises(ValueError, match="the model reads 6"):
        answer_questions(model, TOKENIZER, PLAIN, [ITEMS[0].question], max_new_tokens=4, context=6)
    assert answer_questions(model, TOKENIZER, PLAIN, [], max_new_tokens=4, context=64) == []
    assert end_marks(model, TOKENIZER) == {TOKENIZER.eos_token_id}


def test_top_tokens_at_each_position(model: torch.nn.Module) -> None:
    row = rows()[0]
    view = positions(model, TOKENIZER, row, top=5)
    p = model(torch.tensor([row.ids])).logits[0].softmax(1)
    assert len(view) == len(row.answer)
    for t, place in enumerate(view):
        chances = p[row.start - 1 + t]
        assert place.target.probability == pytest.approx(float(chances[row.answer[t]]), rel=1e-4)
        assert [c.probability for c in place.top] == sorted((c.probability for c in place.top), reverse=True)
        assert place.top[0].id == int(chances.argmax())
        assert (place.rank == 1) == (place.top[0].id == row.answer[t])
