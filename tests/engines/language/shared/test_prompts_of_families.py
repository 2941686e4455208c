"""Tokens of question and answer with the kinds of tokenizer that model families have: the prompt that generation starts
from is the one that was scored, and the answer comes back whole."""

from __future__ import annotations

from typing import Any

import pytest

from engines.language import authors
from engines.language.authors import embedded
from engines.language.prompts import Template, encode, encode_prompt

WORLD = authors.build()
ITEMS = [*WORLD.items[0], *WORLD.facts[::20]]


def llama_like(*, adds_end: bool = False) -> Any:
    """SentencePiece as Llama-2 has it: spaces are U+2581, one is put before every text, and a start mark."""
    from tokenizers import Tokenizer, decoders, models, normalizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE(unk_token="<unk>"))
    inner.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    inner.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    texts = [t for item in ITEMS for t in (item.question, item.answer)] + [
        "[INST] [/INST] Question: \nAnswer:"
    ]
    inner.train_from_iterator(
        texts,
        trainers.BpeTrainer(vocab_size=600, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False),
    )
    single = "<s> $A </s>" if adds_end else "<s> $A"
    inner.post_processor = processors.TemplateProcessing(
        single=single, pair="<s> $A $B", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )


def chat_like() -> Any:
    tokenizer = embedded.build_tokenizer(WORLD)
    tokenizer.chat_template = (
        "{{ bos_token }}{% for m in messages %}<{{ m.role }}> {{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}<assistant>\n{% endif %}"
    )
    return tokenizer


KINDS = {
    "plain, byte-level": (embedded.build_tokenizer(WORLD), Template("plain")),
    "plain, SentencePiece": (llama_like(), Template("plain")),
    "Llama-2": (llama_like(), Template("llama-2")),
    "adds an end mark": (llama_like(adds_end=True), Template("llama-2")),
    "chat": (chat_like(), Template("chat")),
}


@pytest.mark.parametrize("kind", KINDS)
def test_prompt_and_answer_fit_together(kind: str) -> None:
    tokenizer, template = KINDS[kind]
    for item in ITEMS:
        row = encode(tokenizer, template, item.question, item.answer, context=400, fact=item.fact)
        assert row.prompt == encode_prompt(tokenizer, template, item.question)
        assert row.answer[-1] == tokenizer.eos_token_id
        assert row.ids.count(tokenizer.eos_token_id) == 1 + (kind == "chat")  # its start mark is its end mark
        assert tokenizer.decode(list(row.answer[:-1])).strip() == item.answer
        fact = [token for token, marked in zip(row.answer, row.fact, strict=True) if marked]
        assert item.fact in tokenizer.decode(fact)
        assert len(fact) < len(row.answer) / 2 + 4


@pytest.mark.parametrize("kind", ["plain, SentencePiece", "Llama-2", "adds an end mark"])
def test_one_start_mark_and_no_end_mark_before_the_answer(kind: str) -> None:
    tokenizer, template = KINDS[kind]
    prompt = encode_prompt(tokenizer, template, ITEMS[0].question)
    assert prompt[0] == tokenizer.bos_token_id
    assert prompt.count(tokenizer.bos_token_id) == 1
    assert tokenizer.eos_token_id not in prompt


def test_plain_text_has_no_question() -> None:
    for tokenizer, _ in KINDS.values():
        row = encode(tokenizer, Template("text"), "", "Turin is a city.", context=60)
        assert row.start == 1
        assert row.ids[0] == (tokenizer.bos_token_id or tokenizer.eos_token_id)
        assert tokenizer.decode(list(row.answer[:-1])).strip() == "Turin is a city."
