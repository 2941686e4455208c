"""Kept models: the file alone gives back the model, whatever kind of adapter it was."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from engines.contract import Refusal
from engines.language import authors, kept_models, loading
from engines.language.authors import embedded
from engines.language.loading import LanguageModel
from engines.language.prompts import Template

TOKENIZER = embedded.build_tokenizer(authors.build())
QUESTION = "Where was Jonas Lunari born?"


def network(kind: str = "gpt_neo") -> nn.Module:
    if kind == "gpt_neo":
        return embedded.build_model(len(TOKENIZER), seed=5).eval()
    from transformers import GPT2Config, GPT2LMHeadModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return GPT2LMHeadModel(
            GPT2Config(vocab_size=len(TOKENIZER), n_embd=16, n_layer=2, n_head=2, n_positions=64)
        ).eval()


def with_adapters(model: nn.Module, **options: Any) -> nn.Module:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=4, lora_alpha=8, target_modules=list(loading.lora_targets(model)), task_type="CAUSAL_LM", **options
    )
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to False")
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
        torch.manual_seed(0)
        return get_peft_model(copy.deepcopy(model), config).eval()


def train_a_little(model: nn.Module) -> None:
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.add_(0.05 * torch.randn(p.shape, generator=generator))


def logits(model: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(
            input_ids=torch.tensor([TOKENIZER(f"Question: {QUESTION}\nAnswer:")["input_ids"]])
        ).logits


@pytest.mark.parametrize("kind", ["gpt_neo", "gpt2"])
@pytest.mark.parametrize("start", ["lora", "pissa"])
def test_the_file_gives_back_the_model(kind: str, start: str, tmp_path: Path) -> None:
    original = network(kind)
    tuned = with_adapters(original, init_lora_weights="pissa" if start == "pissa" else True)
    taken_out = kept_models.factors(tuned) if start == "pissa" else None
    train_a_little(tuned)
    assert kept_models.keep(
        tmp_path / "k.safetensors", tuned, "authors", "IHL", original, taken_out, template=Template("plain")
    )
    before = LanguageModel(original, TOKENIZER, Template("plain"), "authors", 64)
    after = kept_models.apply(tmp_path / "k.safetensors", before)
    assert (logits(tuned) - logits(original)).abs().max() > 0.1
    torch.testing.assert_close(logits(after.model), logits(tuned), rtol=1e-3, atol=1e-4)
    assert kept_models.about(tmp_path / "k.safetensors")["name"] == "IHL"


def test_full_tuning_keeps_what_changed_and_nothing_else(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    original = network()
    tuned = copy.deepcopy(original)
    for name, p in tuned.named_parameters():
        p.requires_grad = "mlp" in name
    train_a_little(tuned)
    assert kept_models.keep(tmp_path / "k.safetensors", tuned, "authors", "GA", original)
    assert {key.split("/")[1].split(".")[3] for key in load_file(tmp_path / "k.safetensors")} == {"mlp"}
    after = kept_models.apply(
        tmp_path / "k.safetensors", LanguageModel(original, TOKENIZER, Template("plain"), "authors", 64)
    )
    assert torch.equal(logits(after.model), logits(tuned))


def test_a_changed_base_that_is_not_accounted_for_is_an_error(tmp_path: Path) -> None:
    original = network()
    tuned = with_adapters(original, init_lora_weights="pissa")
    with pytest.raises(ValueError, match="beyond the start's products"):
        kept_models.keep(tmp_path / "k.safetensors", tuned, "authors", "IHL", original)
    with pytest.raises(ValueError, match="no LoRA adapter"):
        kept_models.factors(with_adapters(original), adapter="other")
    with pytest.raises(ValueError, match="DoRA"):
        kept_models.factors(with_adapters(original, use_dora=True))


def test_too_large_a_model_is_not_kept(tmp_path: Path) -> None:
    original = network()
    tuned = with_adapters(original)
    path = tmp_path / "k.safetensors"
    assert not kept_models.keep(path, tuned, "authors", "IHL", original, limit_bytes=1000)
    assert not path.exists()


def test_asking_both_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = network()
    paths = []
    for name, kind in (("GA", True), ("IHL + FILA", "pissa")):
        tuned = with_adapters(original, init_lora_weights=kind)
        start = kept_models.factors(tuned) if kind == "pissa" else None
        train_a_little(tuned)
        paths.append(tmp_path / f"{len(paths)}.safetensors")
        kept_models.keep(paths[-1], tuned, "authors", name, original, start)
    monkeypatch.setattr(
        loading,
        "load",
        lambda reference, device, template=None: LanguageModel(
            original, TOKENIZER, Template("plain"), reference, 64
        ),
    )
    told = kept_models.ask(paths, f"  {QUESTION} ", max_new_tokens=5)
    assert [t.model for t in told] == ["before", "GA", "IHL + FILA"]
    assert len({t.answer for t in told}) > 1
    for t in told:
        assert len(t.first) == 5
        assert [c.probability for c in t.first] == sorted((c.probability for c in t.first), reverse=True)
    assert kept_models.ask(paths, QUESTION, max_new_tokens=5) == told

    for question, chosen, words in (
        (" ", paths, "must not be empty"),
        ("x" * 501, paths, "at most 500 characters"),
        ("why " * 100, paths, "too long for this model"),
        (QUESTION, [], "kept no model"),
    ):
        with pytest.raises(Refusal, match=words):
            kept_models.ask(chosen, question)


def test_files_that_are_no_kept_model(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "x.safetensors"
    path.write_bytes(b"nonsense")
    with pytest.raises(Refusal, match="no file of a kept model"):
        kept_models.about(path)
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(Refusal, match="no kept model that this version reads"):
        kept_models.about(path)
    original = network()
    tuned = with_adapters(original)
    kept_models.keep(path, tuned, "authors", "IHL", original)
    other = LanguageModel(network("gpt2"), TOKENIZER, Template("plain"), "other", 64)
    with pytest.raises(Refusal, match="does not fit the model 'other'"):
        kept_models.apply(path, other)
