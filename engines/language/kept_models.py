"""What is left of a run's models, small enough to keep, and asking them a question of one's own.

A kept model is one safetensors file that says how the weights differ from the model that the run began with. An
adapter is a product B A of low rank; where its start took something out of the base (FILA, PiSSA: W* = W - s B* A*),
the change is the sum of two such products, so the base itself need not be kept. Weights that were trained themselves
are kept whole. The file names the model that it changes: an embedded name, a folder or a hub id.

    start = factors(peft_model)                       # right after FILA or PiSSA changed the base; None for LoRA
    keep(path, peft_model, "authors", "IHL + FILA", original, start)
    ask([path, ...], "Where was Jonas Lunari born?")  # the model before, then each kept one
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines.contract import Refusal
from engines.language.prompts import Template

if TYPE_CHECKING:
    from torch import Tensor, nn

    from engines.language.answers import NextToken
    from engines.language.loading import LanguageModel

KIND, VERSION = "paper-workbench kept model", 1
LIMIT_BYTES = 64 * 2**20
BEFORE = "before"
MEDIA_TYPE = "application/vnd.safetensors"

Factors = Mapping[str, tuple["Tensor", "Tensor"]]
"""Full name of a linear layer in the model without adapters to (A (r, in), s B (out, r)) on the CPU, float32."""


@dataclass(frozen=True)
class Told:
    """What one model answers: `model` its name, the answer, whether it ended by itself, and the candidates for its
    first token."""

    model: str
    answer: str
    ended: bool
    first: tuple[NextToken, ...]


def factors(model: nn.Module, adapter: str = "default") -> dict[str, tuple[Tensor, Tensor]]:
    """The adapters of a PeftModel as they are now, copied. Raises ValueError where there are none, and for kinds of
    adapter that are no plain product (DoRA)."""
    found = {}
    for name, layer in model.get_base_model().named_modules():
        if adapter in getattr(layer, "lora_A", {}):
            if getattr(layer, "use_dora", {}).get(adapter):
                raise ValueError("DoRA adapters are no product of two matrices and cannot be kept")
            a = layer.lora_A[adapter].weight.detach().float().cpu().clone()
            b = layer.lora_B[adapter].weight.detach().float().cpu() * layer.scaling[adapter]
            found[name] = (a, b)
    if not found:
        raise ValueError(f"the model has no LoRA adapter named {adapter!r}")
    return found


def keep(
    path: Path,
    model: nn.Module,
    reference: str,
    name: str,
    original: nn.Module,
    start: Factors | None = None,
    *,
    template: Template | None = None,
    limit_bytes: int = LIMIT_BYTES,
) -> bool:
    """Writes how `model` differs from `original` (the model of `reference`) to `path`; False, and no file, where that
    takes more than `limit_bytes`.

    model: a PeftModel (its adapter is kept; `start` are the factors that were taken out of the base), or a plain
    model of the class of `original` (parameters that differ are kept whole). name: the contender, as it is shown.
    Raises ValueError for a PeftModel whose base was changed by anything but `start`."""
    from safetensors.torch import save_file

    tensors = _changes(model, original, start)
    size = sum(value.numel() * value.element_size() for value in tensors.values())
    if size > limit_bytes:
        return False
    about = {
        "kind": KIND,
        "version": VERSION,
        "reference": reference,
        "name": name,
        "template": template.style if template else None,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata={"about": json.dumps(about), "format": "pt"})
    return True


def _changes(model: nn.Module, original: nn.Module, start: Factors | None) -> dict[str, Tensor]:
    if not hasattr(model, "get_base_model"):
        before = dict(original.named_parameters())
        return {
            f"whole/{name}": value.detach().cpu().contiguous().clone()
            for name, value in model.named_parameters()
            if not value.detach().cpu().equal(before[name].detach().cpu())
        }
    _check_base(model, original, start)
    tensors = {}
    for kind, sign, products in (("end", 1.0, factors(model)), ("start", -1.0, start or {})):
        for name, (a, b) in products.items():
            tensors[f"{kind}/{name}/A"] = a.contiguous()
            tensors[f"{kind}/{name}/B"] = (sign * b).contiguous()
    return tensors


def _check_base(model: nn.Module, original: nn.Module, start: Factors | None) -> None:
    """The base of a PeftModel must be the original minus the start's products: else the file would tell a lie."""
    layers = dict(model.get_base_model().named_modules())
    for name, layer in original.named_modules():
        weight = getattr(layer, "weight", None)
        if weight is None or not _is_linear(layer):
            continue
        there = layers[name]
        base = (there.base_layer if hasattr(there, "base_layer") else there).weight.detach().cpu().float()
        expected = weight.detach().cpu().float()
        if start is not None and name in start:
            expected = expected - _product(layer, *start[name])
        worst = float((base - expected).abs().max())
        if worst > 1e-4 * max(1.0, float(expected.abs().max())):
            raise ValueError(
                f"the base layer {name} differs from the original by {worst:.2g} beyond the start's products"
            )


def _is_linear(layer: nn.Module) -> bool:
    from torch.nn import Linear
    from transformers.pytorch_utils import Conv1D

    return isinstance(layer, Linear | Conv1D)


def _product(layer: nn.Module, a: Tensor, b: Tensor) -> Tensor:
    """B A in the shape of the layer's weight (GPT-2's Conv1D keeps it transposed)."""
    from torch.nn import Linear

    return b @ a if isinstance(layer, Linear) else (b @ a).T


def about(path: Path) -> dict[str, Any]:
    """What a kept file says of itself: kind, version, reference, name, template. Raises `Refusal` for another file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            found = json.loads((file.metadata() or {}).get("about", "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise Refusal("model", f"{path.name!r} is no file of a kept model.") from error
    if not isinstance(found, dict) or found.get("kind") != KIND or found.get("version") != VERSION:
        raise Refusal("model", f"{path.name!r} is no kept model that this version reads.")
    return found


def apply(path: Path, model: LanguageModel) -> LanguageModel:
    """`model` (of the reference that the file names) with the kept changes, as a new model. Raises `Refusal` where
    the file does not fit it."""
    import torch
    from safetensors.torch import load_file

    found = model.copy()
    layers, parameters = dict(found.model.named_modules()), dict(found.model.named_parameters())
    tensors = load_file(path)
    try:
        with torch.no_grad():
            for key, value in tensors.items():
                kind, name = key.split("/", 1)
                if kind == "whole":
                    parameters[name].copy_(value)
                elif name.endswith("/A"):
                    layer = layers[name[:-2]]
                    layer.weight += _product(layer, value, tensors[f"{key[:-2]}/B"]).to(layer.weight)
    except (KeyError, RuntimeError, AttributeError) as error:
        raise Refusal(
            "model", f"{path.name!r} does not fit the model {model.reference!r}; was it another version?"
        ) from error
    return found


def ask(
    paths: Sequence[Path], question: str, *, max_new_tokens: int = 32, device: str = "cpu", top: int = 5
) -> list[Told]:
    """The question answered by the model that the run began with (`BEFORE`), then by each kept model, in order.

    Every model is loaded, changed, asked and let go: memory for two at a time. Raises `Refusal`: no question, a
    question that is too long, files of different runs, a model that cannot be had any more."""
    from engines.language.loading import load

    question = question.strip()
    if not question:
        raise Refusal("question", "question must not be empty; write what you want to ask.")
    if len(question) > 500:
        raise Refusal(
            "question",
            f"question must be at most 500 characters; got {len(question)}. Ask something shorter.",
        )
    if not paths:
        raise Refusal("model", "this run kept no model; start it again with models kept.")
    notes = [about(path) for path in paths]
    if len({(note["reference"], note["template"]) for note in notes}) > 1:
        raise Refusal("model", "these kept models change different models; choose files of one run.")
    style = notes[0]["template"]
    before = load(notes[0]["reference"], device, template=Template(style) if style else None)
    told = [_one(BEFORE, before, question, max_new_tokens, top)]
    for path, note in zip(paths, notes, strict=True):
        told.append(_one(str(note["name"]), apply(path, before), question, max_new_tokens, top))
    return told


def _one(name: str, model: LanguageModel, question: str, max_new_tokens: int, top: int) -> Told:
    from engines.language.answers import next_tokens
    from engines.language.prompts import encode_prompt

    try:
        (answer,) = model.answer([question], max_new_tokens)
    except ValueError as error:
        raise Refusal("question", f"question is too long for this model: {error}.") from error
    prompt = encode_prompt(model.tokenizer, model.template, question)
    return Told(name, answer.text, answer.ended, next_tokens(model.model, model.tokenizer, prompt, top))
