"""Every class of model by the same loader, through tiny random models saved to a folder; and what is refused."""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from engines.contract import Refusal
from engines.language import authors, loading
from engines.language.answers import score
from engines.language.authors import embedded
from engines.language.loading import LORA_TARGETS, check_reference, check_targets, linears, load, lora_targets
from engines.language.prompts import Template, template_for

TOKENIZER = embedded.build_tokenizer(authors.build())
SMALL = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 24,
         "max_position_embeddings": 64}  # fmt: skip
CLASSES: dict[str, tuple[Any, dict[str, Any]]] = {
    "gpt_neo": (transformers.GPTNeoConfig, {
        "hidden_size": 16, "num_layers": 2, "num_heads": 2, "intermediate_size": 24, "max_position_embeddings": 64,
        "attention_types": [[["global", "local"], 1]]}),
    "phi": (transformers.PhiConfig, SMALL),
    "llama": (transformers.LlamaConfig, {**SMALL, "num_key_value_heads": 1}),
    "qwen2": (transformers.Qwen2Config, {**SMALL, "num_key_value_heads": 2}),
    "qwen3": (transformers.Qwen3Config, {**SMALL, "num_key_value_heads": 1, "head_dim": 8}),
    "gpt2": (transformers.GPT2Config, {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64}),
    "gpt_neox": (transformers.GPTNeoXConfig, SMALL),
    "opt": (transformers.OPTConfig, {
        "hidden_size": 16, "ffn_dim": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "word_embed_proj_dim": 16,
        "max_position_embeddings": 64}),
}  # fmt: skip


def save(kind: str, folder: Path) -> Path:
    config_class, values = CLASSES[kind]
    config = config_class(vocab_size=len(TOKENIZER), bos_token_id=0, eos_token_id=0, pad_token_id=0, **values)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_loads_answers_scores_and_takes_adapters(kind: str, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    loaded = load(str(save(kind, tmp_path / "model")), "cpu")
    assert all(p.dtype == torch.float32 for p in loaded.model.parameters())
    assert not loaded.model.training
    assert loaded.context == 64
    questions = ["Where was Jonas Lunari born?", "Who?", "What is the capital of Austria?"]
    together = loaded.answer(questions, 6)
    for question, answer in zip(questions, together, strict=True):
        assert loaded.answer([question], 6) == [answer]
    rows = [
        loaded.encode(q, a, "Turin") for q in questions for a in ("In Turin.", "Somewhere else, in Turin.")
    ]
    for row, scored in zip(rows, score(loaded.model, rows, pad=loaded.pad), strict=True):
        (alone,) = score(loaded.model, [row], pad=loaded.pad)
        assert scored.nll == pytest.approx(alone.nll, rel=1e-5)
    if kind in LORA_TARGETS:
        assert set(loaded.targets) == {name.rsplit(".", 1)[-1] for name in linears(loaded.model)}
    check_targets(loaded.model, loaded.targets)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to False")
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
        adapted = get_peft_model(loaded.model, LoraConfig(r=2, target_modules=list(loaded.targets)))
    before = score(load(str(tmp_path / "model")).model, rows, pad=loaded.pad)
    for a, b in zip(
        score(adapted, rows, pad=loaded.pad), before, strict=True
    ):  # fresh adapters change nothing
        assert a.nll == pytest.approx(b.nll, rel=1e-5)
    carried = [name for name, part in adapted.named_modules() if hasattr(part, "lora_A")]
    assert len(carried) == len(linears_of(kind, tmp_path))


def linears_of(kind: str, tmp_path: Path) -> tuple[str, ...]:
    return linears(load(str(tmp_path / "model"), "cpu").model)


def test_unknown_targets_are_refused_with_the_names_there_are(tmp_path: Path) -> None:
    model = load(str(save("gpt2", tmp_path / "m")), "cpu").model
    assert lora_targets(model) == ("c_attn", "c_proj", "c_fc")
    with pytest.raises(Refusal, match=r"c_attn, c_proj, c_fc\); got q_proj"):
        check_targets(model, ["q_proj"])
    with pytest.raises(Refusal, match="got none"):
        check_targets(model, [])


def test_templates_of_the_families() -> None:
    assert template_for("phi", TOKENIZER).prompt(TOKENIZER, "Q?") == "Question: Q?\nAnswer:"
    assert (
        template_for("llama", TOKENIZER, "meta-llama/Llama-2-7b-chat-hf").prompt(TOKENIZER, "Q?")
        == "[INST] Q? [/INST]"
    )
    assert (
        template_for("llama", TOKENIZER, "locuslab/tofu_ft_llama2-7b").prompt(TOKENIZER, "Q?")
        == "[INST] Q? [/INST]"
    )
    chatty = embedded.build_tokenizer(authors.build())
    chatty.chat_template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}{% if enable_thinking is false %}<quiet>{% endif %}"
    )
    template = template_for("qwen3", chatty, "Qwen/Qwen3-0.6B")
    assert template.prompt(chatty, "Q?") == "<user>Q?<assistant><quiet>"
    assert Template("text").prompt(chatty, "Q?") == ""


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("/no/such/model", "there is no folder"),
        ("./neither/this", "there is no folder"),
        ("a/b/c", "there is no folder"),
        ("no such model!", "hub id"),
        ("", "hub id"),
    ],
)
def test_a_reference_that_cannot_be_is_one_sentence(reference: str, words: str) -> None:
    with pytest.raises(Refusal, match=words) as caught:
        check_reference(reference)
    assert caught.value.field == "model"
    assert caught.value.sentence.endswith(".")


def test_folders_that_hold_no_model(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    with pytest.raises(Refusal, match=r"no config\.json"):
        check_reference(str(folder))
    (folder / "config.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(b"\x80")
    with pytest.raises(Refusal, match=r"no \.safetensors"):
        check_reference(str(folder))
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(Refusal, match="names no model_type"):
        check_reference(str(folder))
    (folder / "config.json").write_text("{")
    with pytest.raises(Refusal, match="not JSON"):
        check_reference(str(folder))


def test_classes_that_transformers_cannot_run(tmp_path: Path) -> None:
    folder = save("gpt2", tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "never_heard_of"}))
    with pytest.raises(
        Refusal, match=r"of a class that this version of transformers does not know"
    ) as caught:
        load(str(folder), "cpu")
    assert str(tmp_path) not in caught.value.sentence
    (folder / "config.json").write_text(
        json.dumps({**config, "model_type": "mine", "auto_map": {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"}})
    )  # fmt: skip
    (folder / "evil.py").write_text("raise SystemExit('this code must never run')")
    with pytest.raises(Refusal, match=r"never run|does not know"):
        load(str(folder), "cpu")
    assert "evil" not in sys.modules


def test_weights_that_are_damaged(tmp_path: Path) -> None:
    folder = save("gpt2", tmp_path / "m")
    (folder / "model.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{}")
    with pytest.raises(Refusal, match="could not be loaded"):
        load(str(folder), "cpu")
    shutil.rmtree(folder)


def test_a_model_that_does_not_fit_is_refused_before_its_weights_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save("phi", tmp_path / "m")
    size = 4 * sum(p.numel() for p in load(str(folder)).model.parameters())
    monkeypatch.setattr(loading, "memory_bytes", lambda: 2 * size)
    load(str(folder), copies=2)
    (folder / "model.safetensors").write_bytes(b"never looked at")
    with pytest.raises(Refusal, match="choose a smaller model, or use authors"):
        load(str(folder), copies=3)


def test_an_installation_without_the_embedded_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "WEIGHTS", tmp_path)
    with pytest.raises(Refusal, match="weights of authors are not part of this installation") as caught:
        load("authors")
    assert str(tmp_path) not in caught.value.sentence


def test_the_hub_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    class GatedRepoError(Exception):
        pass

    class RepositoryNotFoundError(Exception):
        pass

    for cause, words in (
        (ConnectionError("no route"), "connect this machine to the hub"),
        (GatedRepoError("401"), "is gated: accept its terms"),
        (RepositoryNotFoundError("404"), "does not exist on the hub"),
    ):

        def no_answer(_reference: str, cause: Exception = cause) -> None:
            raise OSError("no answer") from cause

        monkeypatch.setattr(loading, "ask_the_hub_once", no_answer)
        with pytest.raises(Refusal, match=words):
            load("somebody/something-that-is-not-cached", "cpu")
