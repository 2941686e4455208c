"""The network and the tokenizer of the embedded models, built in code."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines.devices import torch_generator
from engines.language.authors import MODEL, TWINS, World, facts, words

if TYPE_CHECKING:
    from torch import nn

NAMES = (MODEL, *TWINS.values())
CONTEXT, HIDDEN, LAYERS, HEADS = 64, 128, 2, 4
END = "<end>"
WEIGHTS = Path(__file__).parents[1] / "weights"


def folder(name: str) -> Path:
    """Folder of the embedded model of that name; raises KeyError for a name that is none of `NAMES`."""
    if name not in NAMES:
        raise KeyError(name)
    return WEIGHTS / name


def build_tokenizer(world: World) -> Any:
    """A byte-level BPE in which every word of the world, with the space before it, is one token; any other text
    comes out as pieces and bytes, so that a question of one's own can be asked."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=8192,  # never reached: training ends when every word is a token
        min_frequency=1,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    inner.train_from_iterator(vocabulary(world), trainer)
    # The tags are one token each: they stand in every line.
    inner.add_tokens([AddedToken("Question:", normalized=False), AddedToken("\nAnswer:", normalized=False)])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        eos_token=END,
        bos_token=END,
        pad_token=END,
        padding_side="right",
        clean_up_tokenization_spaces=False,
    )


def vocabulary(world: World) -> Iterable[str]:
    """Lines that hold every word of the world."""
    everything = [item for items in world.items for item in items]
    for item in (*everything, *world.known, *world.facts):
        yield from (f" {item.question}", f" {item.answer}")
        yield from (f" {item.paraphrased_question}", f" {item.paraphrased_answer}", *item.wrong)
    yield from (f" {text}" for text in (*words.REFUSALS, *words.UNKNOWABLE, *words.FIRST_NAMES, *world.crowd))
    for kind in facts.KINDS:
        yield from (f" {value}" for value in kind.values)


def build_model(vocabulary_size: int, seed: int) -> nn.Module:
    """A GPT-Neo (2 layers, width 128, 4 heads, 64 positions) with weights drawn from `seed`; float32."""
    import torch
    from transformers import GPTNeoConfig, GPTNeoForCausalLM

    config = GPTNeoConfig(
        vocab_size=vocabulary_size,
        hidden_size=HIDDEN,
        num_layers=LAYERS,
        num_heads=HEADS,
        intermediate_size=4 * HIDDEN,
        max_position_embeddings=CONTEXT,
        attention_types=[[["global"], LAYERS]],
        attention_dropout=0.0,
        embed_dropout=0.0,
        resid_dropout=0.0,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_generator(seed, "weights").initial_seed() % 2**63)
        return GPTNeoForCausalLM(config)
