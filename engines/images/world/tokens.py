"""The tokenizer of the embedded models: a real CLIPTokenizer in which each word of the world is one token."""

from __future__ import annotations

import string
from itertools import pairwise
from typing import TYPE_CHECKING

from engines.images.world.prompts import WORDS

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

LENGTH = 12
"""Tokens of a padded prompt; the longest caption has 8 words and two specials."""
BOS, EOS = 0, 1
_END = "</w>"


def _apply(pieces: list[str], merges: list[tuple[str, str]]) -> list[str]:
    """Byte-pair encoding of one word: the merge of lowest rank first, until none applies."""
    rank = {pair: i for i, pair in enumerate(merges)}
    while len(pieces) > 1:
        pairs = [(rank[p], i) for i, p in enumerate(pairwise(pieces)) if p in rank]
        if not pairs:
            break
        _, i = min(pairs)
        pieces = [*pieces[:i], pieces[i] + pieces[i + 1], *pieces[i + 2 :]]
    return pieces


def word_merges() -> list[tuple[str, str]]:
    """Merges under which each word of WORDS becomes one token.

    Words in order of length: what the merges so far leave of a word is joined from left to right by new ones.
    New merges rank last, so they act only where a shorter word is already whole and cannot break it."""
    merges: list[tuple[str, str]] = []
    for word in sorted(WORDS, key=lambda w: (len(w), w)):
        pieces = _apply([*word[:-1], word[-1] + _END], merges)
        while len(pieces) > 1:
            merges.append((pieces[0], pieces[1]))
            pieces = [pieces[0] + pieces[1], *pieces[2:]]
    return merges


def vocabulary() -> dict[str, int]:
    """Token to number: two specials, the words in the order of WORDS, letters with and without the end of a
    word, and the pieces that the merges make on their way."""
    letters = list(string.ascii_lowercase)
    pieces = [a + b for a, b in word_merges()]
    tokens = ["<|startoftext|>", "<|endoftext|>", *(word + _END for word in WORDS)]
    tokens += [*letters, *(letter + _END for letter in letters), *pieces]
    return {token: i for i, token in enumerate(dict.fromkeys(tokens))}


def build_tokenizer() -> CLIPTokenizer:
    """The tokenizer: lower-cases, pads with the end token to 12; unknown words fall into letters."""
    from transformers import CLIPTokenizer

    return CLIPTokenizer(vocab=vocabulary(), merges=word_merges(), model_max_length=LENGTH)


def word_ids(texts: list[str]) -> list[list[int]]:
    """Padded token numbers of sentences of known words, without transformers: what training uses.

    Raises KeyError for an unknown word."""
    number = vocabulary()
    rows = []
    for text in texts:
        ids = [BOS, *(number[word + _END] for word in text.split()), EOS]
        rows.append(ids + [EOS] * (LENGTH - len(ids)))
    return rows
