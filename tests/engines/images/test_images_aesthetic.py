"""The aesthetic predictor: both layouts of its weights against the original network, and what is refused."""

import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from engines.images.rewards import loading
from engines.images.rewards.aesthetic import WIDTHS, from_predictor
from engines.images.rewards.base import RewardMissing, preprocess
from engines.images.rewards.loading import load_reward

VISION = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 16,
}


class Predictor(nn.Module):
    """The original network with its dropouts, narrow."""

    def __init__(self, widths=(8, 6, 5, 4, 3, 1)):
        super().__init__()
        a, b, c, d, e, f = widths
        self.layers = nn.Sequential(
            nn.Linear(a, b), nn.Dropout(0.2), nn.Linear(b, c), nn.Dropout(0.2), nn.Linear(c, d),
            nn.Dropout(0.1), nn.Linear(d, e), nn.Linear(e, f),
        )  # fmt: skip

    def forward(self, x):
        return self.layers(x)


@pytest.fixture
def original(tmp_path, monkeypatch):
    """A tiny CLIP folder in the place of ViT-L/14, its picture tower, and a predictor."""
    from transformers import CLIPConfig, CLIPModel, CLIPVisionModelWithProjection

    torch.manual_seed(0)
    text = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    clip = CLIPModel(CLIPConfig(text_config=text, vision_config=VISION, projection_dim=8))
    clip.save_pretrained(tmp_path / "clip")
    monkeypatch.setattr(loading, "CLIP_L", str(tmp_path / "clip"))
    config = clip.config.vision_config
    config.projection_dim = 8
    tower = CLIPVisionModelWithProjection(config).eval()
    tower.vision_model.load_state_dict(clip.vision_model.state_dict())
    tower.visual_projection.load_state_dict(clip.visual_projection.state_dict())
    predictor = Predictor().eval()
    for parameter in predictor.parameters():
        nn.init.normal_(parameter, std=0.5)
    return tower, predictor


def truth(tower, predictor, pictures):
    """The score as the original code computes it: features over their norm, then the layers."""
    features = tower(pixel_values=preprocess(pictures, 32)).image_embeds
    return predictor(features / features.pow(2).sum(-1, keepdim=True).sqrt())[:, 0]


@pytest.mark.parametrize("layout", ["pth", "safetensors", "port"])
def test_conversion_is_numerically_exact(layout, original, tmp_path):
    tower, predictor = original
    if layout == "pth":
        path = tmp_path / "predictor.pth"
        torch.save(predictor.state_dict(), path)
    else:
        path = tmp_path / "model.safetensors"
        state = dict(predictor.state_dict())
        if layout == "port":
            # the port's file has the picture tower, too, and an integer buffer of positions
            state |= {k: v * 1.5 for k, v in tower.state_dict().items() if "norm" in k}
            state |= {k: v for k, v in tower.state_dict().items() if "norm" not in k}
            state["vision_model.embeddings.position_ids"] = torch.arange(5)[None]
        save_file({k: v.contiguous() for k, v in state.items()}, path)
        if layout == "port":
            tower.load_state_dict({k: v for k, v in state.items() if k in tower.state_dict()})
    reward = load_reward("aesthetic", source=str(path))
    x = torch.rand((3, 3, 40, 48), requires_grad=True)
    score = reward.score(x, reward.encode(["anything", "at", "all"]))
    assert torch.allclose(score, truth(tower, predictor, x), atol=1e-5)
    score.sum().backward()
    assert x.grad.abs().sum() > 0
    assert all(p.grad is None for module in reward.modules for p in module.parameters())


def test_the_published_widths_are_read():
    head, tower = from_predictor(Predictor(WIDTHS).state_dict())
    assert [m.in_features for m in head] == list(WIDTHS[:-1])
    assert tower == {}


def test_other_files_are_refused_in_a_sentence(original, tmp_path):
    _, predictor = original
    # the variant with activations counts them, too
    relu = {k.replace("layers.2.", "layers.3."): v for k, v in predictor.state_dict().items()}
    cases = {
        "relu": (relu, "layers 0, 2, 4, 6 and 7; this file has"),
        "other": ({"x": torch.ones(1)}, "none"),
    }
    wide = Predictor((9, 6, 5, 4, 3, 1)).state_dict()
    cases["wide"] = (wide, "reads 9 features")
    cases["more"] = (predictor.state_dict() | {"extra": torch.ones(1)}, "extra is not a weight")
    for name, (state, words) in cases.items():
        save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / f"{name}.safetensors")
        with pytest.raises(RewardMissing, match=words):
            load_reward("aesthetic", source=str(tmp_path / f"{name}.safetensors"))


class Evil:
    """A pickle that would write a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("name", ["aesthetic", "hpsv2.1", "imagereward"])
def test_a_pickle_that_holds_code_is_not_run(name, tmp_path):
    trace = tmp_path / "trace"
    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Evil(trace), protocol=2))
    torch.save({"state_dict": Evil(trace)}, tmp_path / "evil.pth")
    for file in ("evil.pt", "evil.pth"):
        with pytest.raises(RewardMissing, match="holds more than weights and is not read"):
            load_reward(name, source=str(tmp_path / file))
    assert not trace.exists()
