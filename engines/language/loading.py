"""From a model reference to a causal language model: an embedded name, a local folder, or a hub id.

Only safetensors are read and no code of a model repository is ever run. Whatever cannot be had gives one sentence.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines.contract import Refusal
from engines.devices import memory_bytes
from engines.language.authors import embedded
from engines.language.prompts import Encoded, Template, encode, template_for

if TYPE_CHECKING:
    from torch import nn

    from engines.language.generation import Answer

HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?$")
EXAMPLE_HUB_ID = "EleutherAI/gpt-neo-125m"

LORA_TARGETS: Mapping[str, tuple[str, ...]] = {
    "gpt_neo": ("q_proj", "k_proj", "v_proj", "out_proj", "c_fc", "c_proj"),
    "phi": ("q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"),
    "llama": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    "mistral": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    "qwen2": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    "qwen3": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    "gpt2": ("c_attn", "c_proj", "c_fc"),
    "gpt_neox": ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"),
}
"""All linear layers of attention and MLP, as LoKU's official code names them; other families are looked through."""


@dataclass
class LanguageModel:
    """A causal language model in evaluation mode, with what is needed to ask it.

    reference: what it was loaded by; template: how a question is put to it; context: tokens it can read"""

    model: nn.Module
    tokenizer: Any
    template: Template
    reference: str
    context: int

    @property
    def pad(self) -> int:
        """Token that fills batches."""
        return int(self.tokenizer.pad_token_id)

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the linear layers that adapters go on."""
        return lora_targets(self.model)

    def encode(self, question: str, answer: str, fact: str = "") -> Encoded:
        """Tokens of a question with its answer, cut off at the context (`Encoded.cut` says so)."""
        return encode(self.tokenizer, self.template, question, answer, context=self.context, fact=fact)

    def answer(self, questions: list[str], max_new_tokens: int = 32) -> list[Answer]:
        """Greedy answers, batched by equal length."""
        from engines.language.generation import answer_questions

        return answer_questions(
            self.model,
            self.tokenizer,
            self.template,
            questions,
            max_new_tokens=max_new_tokens,
            context=self.context,
        )

    def copy(self) -> LanguageModel:
        """The same with weights of its own; the tokenizer is shared."""
        return LanguageModel(
            copy.deepcopy(self.model), self.tokenizer, self.template, self.reference, self.context
        )


def check_reference(
    reference: str, field: str = "model", embedded_names: Collection[str] = embedded.NAMES
) -> None:
    """Cheap check of a model reference, without loading anything and without heavy imports; raises `Refusal`."""
    if reference in embedded_names:
        return
    names = ", ".join(embedded_names)
    folder = Path(reference).expanduser()
    if reference and folder.is_dir():
        _check_folder(folder, field)
    elif reference.startswith(("/", ".", "~")) or "\\" in reference or reference.count("/") > 1:
        raise Refusal(
            field,
            f"{field}: there is no folder {reference[:80]!r} on this machine; give an existing folder, a hub id such "
            f"as {EXAMPLE_HUB_ID}, or {names}.",
        )
    elif not HUB_ID.match(reference):
        raise Refusal(
            field,
            f"{field} must be {names}, a folder with a transformers model, or a hub id such as {EXAMPLE_HUB_ID}; got "
            f"{reference[:80]!r}.",
        )


def _check_folder(folder: Path, field: str) -> None:
    """A folder must look like a causal model with safe weights."""
    name = folder.name
    if not (folder / "config.json").is_file():
        raise Refusal(field, f"{field}: the folder {name!r} holds no config.json of a transformers model.")
    if not any(folder.glob("*.safetensors")):
        raise Refusal(
            field,
            f"{field}: the folder {name!r} holds no .safetensors weights, and no other kind is read; save the model "
            "again with transformers' save_pretrained.",
        )
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise Refusal(field, f"{field}: config.json in the folder {name!r} is not JSON.") from error
    if not isinstance(config, dict) or not config.get("model_type"):
        raise Refusal(field, f"{field}: config.json in the folder {name!r} names no model_type.")


def load(
    reference: str,
    device: str = "cpu",
    field: str = "model",
    template: Template | None = None,
    copies: int = 1,
) -> LanguageModel:
    """The model of that reference in float32 on `device`, in evaluation mode; raises `Refusal`.

    float32 everywhere: FILA's start keeps the function of a model only as exactly as its numbers are kept (LoKU,
    spec section 9). `template` overrides the one of the model's family; `copies` of the weights must fit into memory."""
    check_reference(reference, field)
    is_embedded = reference in embedded.NAMES
    where = str(embedded.folder(reference)) if is_embedded else reference
    if is_embedded and not Path(where, "model.safetensors").is_file():
        raise Refusal(
            field,
            f"{field}: the weights of {reference} are not part of this installation; install the workbench again.",
        )
    model, tokenizer = pretrained(where, field, instead=embedded.NAMES[0], copies=copies)
    chosen = template or template_for(str(model.config.model_type), tokenizer, reference)
    model.to(device).eval()
    return LanguageModel(model, tokenizer, chosen, reference, context_of(model, tokenizer))


def pretrained(
    reference: str, field: str, instead: str, dtype: Any = None, copies: int = 1
) -> tuple[nn.Module, Any]:
    """(model, tokenizer) of a folder or hub id through transformers' Auto classes, on the CPU; raises `Refusal`.

    `dtype` (torch.float32 where None); `instead` names an embedded model to fall back on, for the sentence. Configuration
    and size are looked at before any weights are fetched: `copies` of them must fit into memory."""
    import torch
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    folder, dtype = Path(reference).expanduser(), dtype or torch.float32
    is_folder = folder.is_dir()
    where = str(folder) if is_folder else reference
    name = folder.name if is_folder else reference  # never a path of this machine
    try:
        if not is_folder:
            ask_the_hub_once(reference)
        config = AutoConfig.from_pretrained(where, trust_remote_code=False)
        _check_memory(config, dtype, copies, f"{field} {name!r}", field, instead)
        with no_progress_bar():
            tokenizer = AutoTokenizer.from_pretrained(where, trust_remote_code=False)
            model = AutoModelForCausalLM.from_pretrained(
                where, dtype=dtype, use_safetensors=True, trust_remote_code=False
            )
    except Refusal:
        raise
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        raise Refusal(field, f"{field} {name!r} {_why(error)}, or use {instead}.") from error
    if tokenizer.eos_token_id is None:
        raise Refusal(
            field,
            f"{field} {name!r} has a tokenizer without an end mark; choose another model, or use {instead}.",
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model, tokenizer


def _check_memory(config: Any, dtype: Any, copies: int, what: str, field: str, instead: str) -> None:
    """Refuses a model whose weights alone would not fit: a machine without memory kills the run without a word."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        count = sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())
    needed, free = count * dtype.itemsize * copies, memory_bytes()
    if needed > free:
        raise Refusal(
            field,
            f"{what} has {count / 1e9:.1f} billion parameters and takes {needed / 2**30:.0f} GB of memory here; "
            f"{free / 2**30:.0f} GB are free: choose a smaller model, or use {instead}.",
        )


def _why(error: BaseException) -> str:
    """What is wrong and what to do about it, from an error of transformers or huggingface_hub."""
    chain: list[BaseException] = []
    seen: BaseException | None = error
    while seen is not None and len(chain) < 10:
        chain.append(seen)
        seen = seen.__cause__ or seen.__context__
    kinds = {type(link).__name__ for link in chain}
    words = " ".join(str(link) for link in chain).lower()
    if "GatedRepoError" in kinds or "gated repo" in words:
        return "is gated: accept its terms on its page and log in with `hf auth login`"
    if "RepositoryNotFoundError" in kinds:
        return "does not exist on the hub (or is private): check the spelling"
    if "trust_remote_code" in words:
        return "needs code from its own repository, which is never run: choose a model of a class that transformers has"
    if "unrecognized" in words or "does not recognize this architecture" in words:
        return "is of a class that this version of transformers does not know as a causal language model: choose another"
    if "safetensors" in words and "no file named" in words:
        return "has no .safetensors weights, and no other kind is read: choose a model that has"
    kind = type(error).__name__
    return (
        f"could not be loaded by transformers ({kind}): connect this machine to the hub, download the model to a "
        "folder and give its path"
    )


def ask_the_hub_once(reference: str) -> None:
    """One short request for a model that is not in the cache: transformers itself would retry for a minute before it
    says that there is no connection."""
    from huggingface_hub import HfApi, try_to_load_from_cache

    if not isinstance(try_to_load_from_cache(reference, "config.json"), str):
        try:
            HfApi().model_info(reference, timeout=10)
        except (
            Exception
        ) as error:  # which HTTP library is below, and so its errors, depends on huggingface_hub's version
            raise OSError(f"no answer from the hub for {reference}") from error


@contextmanager
def no_progress_bar() -> Iterator[None]:
    """transformers draws a bar on stderr while it loads; a run's progress is an event instead."""
    from transformers.utils import logging

    was_on = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_on:
            logging.enable_progress_bar()


def context_of(model: nn.Module, tokenizer: Any, at_most: int = 512) -> int:
    """Tokens of question and answer together: what model and tokenizer allow, and no more than `at_most` (TOFU
    evaluates with 500)."""
    named = [getattr(model.config, key, None) for key in ("max_position_embeddings", "n_positions")]
    limits = [int(n) for n in (*named, tokenizer.model_max_length) if isinstance(n, int) and n > 0]
    return min([at_most, *limits])


def lora_targets(model: nn.Module) -> tuple[str, ...]:
    """Names (last parts) of the linear layers of attention and MLP: `LORA_TARGETS` of the model's family, else all
    Linear and Conv1D layers but the output head, in order of appearance."""
    named = LORA_TARGETS.get(str(getattr(model.config, "model_type", "")))
    return named if named is not None else tuple(dict.fromkeys(n.rsplit(".", 1)[-1] for n in linears(model)))


def linears(model: nn.Module) -> tuple[str, ...]:
    """Full names of all Linear and Conv1D (GPT-2) layers but the output head."""
    from torch.nn import Linear
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    return tuple(
        name for name, part in model.named_modules() if isinstance(part, Linear | Conv1D) and part is not head
    )


def check_targets(model: nn.Module, targets: Collection[str], field: str = "targets") -> None:
    """Refuses names of layers that the model does not have, and says which there are."""
    known = tuple(dict.fromkeys(name.rsplit(".", 1)[-1] for name in linears(model)))
    unknown = [name for name in targets if name not in known]
    if unknown or not targets:
        got = ", ".join(unknown) or "none"
        raise Refusal(
            field, f"{field} must be names of linear layers of the model ({', '.join(known)}); got {got}."
        )
