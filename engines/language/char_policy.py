"""The embedded policy: a two-layer character GPT-2 that half knows addition, and the task it is rewarded on.

A problem is the text "07+15=" and the right response is "22$": operands have two digits, the sum has no leading
zero, `$` ends it. 103 thousand parameters, trained by `engines/language/training/char_policy.py` on sums of which
half are wrong, so that it "knows but is not sharp", as a base model before reinforcement learning.
Importing this module imports neither torch nor transformers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engines.devices import numpy_generator

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

EMBEDDED = "char-policy"
FOLDER = Path(__file__).parent / "weights" / "char_policy"
ALPHABET = "0123456789+=$."
END, PAD = "$", "."
LARGEST_OPERAND = 19
"""Operands of the pre-training: 0 to 19."""
HELD_OUT = 100
"""Problems (of 400) kept out of pre-training and of reinforcement learning."""
MAX_NEW_TOKENS = 4


@dataclass(frozen=True)
class Problem:
    """A prompt and its right answer, both as text (the answer without an end mark)."""

    prompt: str
    answer: str


def addition(left: int, right: int) -> Problem:
    """The problem of adding two operands of at most two digits."""
    return Problem(f"{left:02d}+{right:02d}=", str(left + right))


def split_problems(largest: int = LARGEST_OPERAND) -> tuple[list[Problem], list[Problem]]:
    """(training problems, held-out problems) with operands from 0 to `largest` (at most 49).

    The 400 problems up to 19 are split once and for all: 300 and 100. Problems with a larger operand were never
    seen in pre-training; a quarter of them, drawn likewise once, is held out."""
    grid = [(a, b) for a in range(largest + 1) for b in range(largest + 1)]
    held_out = _held_out_pairs()
    train = [addition(a, b) for a, b in grid if (a, b) not in held_out]
    test = [addition(a, b) for a, b in grid if (a, b) in held_out]
    return train, test


def _held_out_pairs() -> set[tuple[int, int]]:
    inner = [(a, b) for a in range(LARGEST_OPERAND + 1) for b in range(LARGEST_OPERAND + 1)]
    outer = [(a, b) for a in range(50) for b in range(50) if max(a, b) > LARGEST_OPERAND]
    rng = numpy_generator(0, "held-out problems")
    chosen = [inner[i] for i in rng.permutation(len(inner))[:HELD_OUT]]
    chosen += [outer[i] for i in rng.permutation(len(outer))[: len(outer) // 4]]
    return set(chosen)


def noisy_sums(
    rng: np.random.Generator, problems: list[Problem], count: int, wrong: float, spread: int
) -> list[str]:
    """`count` texts "07+15=22$" for pre-training; a share `wrong` of the answers is off by up to +-`spread`
    (never below 0), the error being uniform over the non-zero values."""
    errors = [e for e in range(-spread, spread + 1) if e != 0]
    texts = []
    for index in rng.integers(len(problems), size=count):
        problem = problems[int(index)]
        total = int(problem.answer)
        if rng.random() < wrong:
            total = max(0, total + errors[int(rng.integers(len(errors)))])
        texts.append(f"{problem.prompt}{total}{END}")
    return texts


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The character tokenizer, in transformers' own format: one token a character, pads on the left."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordLevel({c: i for i, c in enumerate(ALPHABET)}, unk_token=PAD))
    core.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    core.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token=END,
        pad_token=PAD,
        unk_token=PAD,
        padding_side="left",
        model_max_length=16,
    )


def build_model(seed: int = 0) -> PreTrainedModel:
    """The untrained network: GPT-2, 2 layers, width 64, 4 heads, 16 positions, untied head, no dropout."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=len(ALPHABET),
        n_positions=16,
        n_embd=64,
        n_layer=2,
        n_head=4,
        activation_function="gelu_pytorch_tanh",  # GPT-2's own function, in one kernel instead of eight
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        resid_pdrop=0.0,
        tie_word_embeddings=False,
        bos_token_id=ALPHABET.index(END),
        eos_token_id=ALPHABET.index(END),
        pad_token_id=ALPHABET.index(PAD),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPT2LMHeadModel(config)
