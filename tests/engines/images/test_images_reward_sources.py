"""Rewards from a folder, a weights file or a hub id, with the configuration and tokenizer that lie beside the weights."""

import json

import pytest
import torch
from original_layouts import OpenClip, OriginalImageReward
from safetensors.torch import save_file
from torch import nn

from engines.images.rewards import loading
from engines.images.rewards.base import RewardMissing, preprocess
from engines.images.rewards.loading import load_reward
from engines.images.rewards.sources import BERT, CLIP_H, CLIP_L
from engines.images.world.tokens import BOS, EOS, build_tokenizer, vocabulary

PROMPTS = ["a red circle", "two green squares"]
LAYERS = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "hidden_act": "gelu",
}
VISION = LAYERS | {"image_size": 32, "patch_size": 16}
TEXT = LAYERS | {
    "vocab_size": len(vocabulary()), "max_position_embeddings": 12, "bos_token_id": BOS, "eos_token_id": EOS,
    "pad_token_id": EOS, "sep_token_id": EOS,
}  # fmt: skip


def save_companions(folder):
    """Configuration and tokenizer of a tiny CLIP."""
    from transformers import CLIPConfig

    CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=8).save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)


def clip_weights():
    torch.manual_seed(5)
    original = OpenClip().eval()
    for parameter in original.parameters():
        nn.init.normal_(parameter, std=0.3) if parameter.ndim else None
    return original


def pictures():
    return torch.rand((2, 3, 40, 40), generator=torch.Generator().manual_seed(4))


def cosine(original):
    """HPSv2.1's score in the original layout."""
    ids = build_tokenizer()(PROMPTS, padding="max_length", return_tensors="pt").input_ids
    return torch.cosine_similarity(original.visual(preprocess(pictures(), 32)), original.text(ids))


@pytest.mark.parametrize("file", ["HPS_v2.1_compressed.pt", "mine.pt", "model.safetensors"])
def test_hps_from_a_folder_with_its_companions(file, tmp_path):
    """By its published name, or whatever weights file is the only one; the file itself does as well."""
    save_companions(tmp_path)
    original = clip_weights()
    state = {k: v.contiguous() for k, v in original.state_dict().items()}
    if file.endswith(".pt"):
        torch.save({"state_dict": state}, tmp_path / file)
    else:
        save_file(state, tmp_path / file)
    for source in (tmp_path, tmp_path / file):
        reward = load_reward("hpsv2.1", source=str(source))
        with torch.no_grad():
            assert torch.allclose(
                reward.score(pictures(), reward.encode(PROMPTS)), cosine(original), atol=1e-5
            )


def test_a_folder_with_several_weights_files_must_be_told_apart(tmp_path):
    save_companions(tmp_path)
    for name in ("a.pt", "b.pt"):
        torch.save(clip_weights().state_dict(), tmp_path / name)
    with pytest.raises(
        RewardMissing, match=r"holds several weights files \(a.pt, b.pt\): name the file, or put HPS_v2"
    ):
        load_reward("hpsv2.1", source=str(tmp_path))
    torch.save(clip_weights().state_dict(), tmp_path / "HPS_v2.1_compressed.pt")
    assert load_reward("hpsv2.1", source=str(tmp_path)).name == "HPSv2.1"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub that has whatever is asked of it, and says what that was."""
    import huggingface_hub

    asked = []

    def download(repository, name, **_):
        asked.append((repository, name))
        return str(tmp_path / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return asked


def offline(at, **_):
    raise OSError(f"We couldn't connect to the hub to load {at}")


def test_image_reward_from_a_folder_or_the_hub(monkeypatch, tmp_path, hub):
    from transformers import AutoTokenizer

    monkeypatch.setattr(loading, "VISION", VISION)
    monkeypatch.setattr(
        loading, "TEXT", TEXT | {"vocab_size": len(vocabulary()) + 2, "encoder_hidden_size": 16}
    )
    monkeypatch.setattr(loading, "WIDTHS", (8, 4, 1))
    torch.manual_seed(6)
    original = OriginalImageReward(len(vocabulary()) + 2).eval()
    torch.save(original.state_dict(), tmp_path / "ImageReward.pt")
    build_tokenizer().save_pretrained(tmp_path)
    reward = load_reward("imagereward", source=str(tmp_path))
    assert len(reward.tokenizer) == len(vocabulary()) + 2, "[DEC] and [ENC] are added"
    reward.length = 12
    told = reward.encode(PROMPTS)
    with torch.no_grad():
        raw = original(preprocess(pictures(), 32), told.tensors["ids"], told.tensors["mask"])
        assert torch.allclose(reward.score(pictures(), told), (raw - 0.16717) / 1.03334, atol=1e-5)
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", offline)
    for source, repository in (("owner/mine", "owner/mine"), ("", "THUDM/ImageReward")):
        with pytest.raises(RewardMissing, match=f"needs the tokenizer of {BERT}"):
            load_reward("imagereward", source=source)
        assert hub.pop() == (repository, "ImageReward.pt")


@pytest.mark.parametrize(
    ("name", "file"), [("hpsv2.1", "HPS_v2.1_compressed.pt"), ("aesthetic", "aesthetic-model.pth")]
)
def test_a_hub_id_is_asked_for_the_published_file(name, file, tmp_path, hub):
    torch.save({"stranger": torch.zeros(1)}, tmp_path / file)
    with pytest.raises(RewardMissing, match=r"stranger|layers 0, 2"):
        load_reward(name, source="owner/mine")
    assert hub == [("owner/mine", file)]


def test_missing_companions_are_named(monkeypatch, tmp_path):
    """The weights are there and sound; without a network the sentence says what else is needed."""
    from transformers import AutoTokenizer, CLIPConfig

    monkeypatch.setattr(CLIPConfig, "from_pretrained", offline)
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", offline)
    torch.save(clip_weights().state_dict(), tmp_path / "hps.pt")
    with pytest.raises(
        RewardMissing, match=f"beside its weights it needs the configuration of {CLIP_H}, and"
    ):
        load_reward("hpsv2.1", source=str(tmp_path / "hps.pt"))
    torch.save(OriginalImageReward(len(vocabulary())).state_dict(), tmp_path / "ir.pt")
    with pytest.raises(RewardMissing, match=f"beside its weights it needs the tokenizer of {BERT}, and"):
        load_reward("imagereward", source=str(tmp_path / "ir.pt"))
    head = {
        f"layers.{n}.{kind}": torch.zeros((1, 1) if kind == "weight" else 1)
        for n in (0, 2, 4, 6, 7)
        for kind in ("weight", "bias")
    }
    torch.save(head, tmp_path / "head.pth")
    with pytest.raises(
        RewardMissing, match=f"beside its weights it needs the configuration of {CLIP_L}, and"
    ):
        load_reward("aesthetic", source=str(tmp_path / "head.pth"))


def test_a_clip_without_tokenizer_or_of_another_kind(monkeypatch, tmp_path, tiny_clip):
    from transformers import AutoTokenizer

    model, words = tiny_clip()
    model.save_pretrained(tmp_path)
    read = []
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lambda at: read.append(at) or words)
    assert load_reward("clip", source=str(tmp_path)).name == "CLIP"
    assert read == [CLIP_H], "all published CLIP models read the same tokens"
    words.add_tokens(["surplus"])
    with pytest.raises(
        RewardMissing, match="has 120 tokens and the model knows 119: put the model's own tokenizer"
    ):
        load_reward("clip", source=str(tmp_path))
    config = tmp_path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": "siglip"}))
    with pytest.raises(RewardMissing, match="is a siglip, and only models in the layout of CLIP are read"):
        load_reward("clip", source=str(tmp_path))


def test_the_dry_run_reads_the_same_folders(tmp_path, tiny_folders):
    from engines.images.dry_run import measure

    save_companions(tmp_path)
    torch.save(clip_weights().state_dict(), tmp_path / "hps.pt")
    found = measure(
        str(tiny_folders["sd"]), ("hpsv2.1",), reward_sources=(str(tmp_path),), size=16, local_files_only=True
    )
    reward = load_reward("hpsv2.1", source=str(tmp_path))
    assert found.weights["HPSv2.1"] == sum(4 * p.numel() for p in reward.model.parameters()) + sum(
        b.numel() * b.element_size() for b in reward.model.buffers()
    )
