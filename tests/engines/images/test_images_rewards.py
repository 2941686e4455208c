"""Rewards: preprocessing, gradients, cached text, and conversions checked against the original layouts."""

import pytest
import torch
from original_layouts import OpenClip, OriginalImageReward
from torch import nn

from engines.images.memory import checkpoint_gradients
from engines.images.rewards.base import MEAN, STD, preprocess, tensor_of
from engines.images.rewards.blip_reward import BlipReward
from engines.images.rewards.clip import ClipReward, from_open_clip
from engines.images.rewards.image_reward import ImageReward, from_image_reward
from engines.images.rewards.loading import fill, load_reward
from engines.images.world.tokens import BOS, EOS, build_tokenizer, vocabulary

PROMPTS = ["a red circle", "two green squares"]
VISION = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 16,
    "hidden_act": "gelu",
}
TEXT = {
    "vocab_size": len(vocabulary()),
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 12,
    "hidden_act": "gelu",
    "bos_token_id": BOS,
    "eos_token_id": EOS,
    "pad_token_id": EOS,
}


def tiny_clip():
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(0)
    return CLIPModel(CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=8))


def tiny_blip():
    torch.manual_seed(1)
    text = dict(TEXT) | {"sep_token_id": EOS, "encoder_hidden_size": 16}
    text |= {"attention_probs_dropout_prob": 0.1, "hidden_dropout_prob": 0.1}
    return BlipReward(dict(VISION), text, (8, 4, 1))


@pytest.fixture
def rewards():
    tokenizer = build_tokenizer()
    return [
        ClipReward("clip", tiny_clip(), tokenizer),
        ClipReward("hps", tiny_clip(), tokenizer, is_scaled=False),
        ImageReward("r2", tiny_blip(), tokenizer, length=12),
    ]


def pictures(number=2, size=40):
    return torch.rand((number, 3, size, size), generator=torch.Generator().manual_seed(4))


def test_scores_have_gradients_and_leave_weights_alone(rewards):
    for reward in rewards:
        x = pictures().requires_grad_()
        score = reward.score(x, reward.encode(PROMPTS))
        assert score.shape == (2,)
        score.sum().backward()
        assert x.grad.abs().sum() > 0
        assert all(p.grad is None for p in reward.model.parameters())


def test_cached_text_equals_recomputed_and_rows_are_independent(rewards):
    for reward in rewards:
        both = reward.score(pictures(), reward.encode(PROMPTS))
        for k, prompt in enumerate(PROMPTS):
            alone = reward.score(pictures()[k : k + 1], reward.encode([prompt]))
            assert torch.allclose(alone[0], both[k], atol=1e-5)
        many = reward.encode([PROMPTS[0]]).expand(2)
        assert torch.allclose(reward.score(pictures(), many)[0], both[0], atol=1e-5)
        with pytest.raises(ValueError, match="one prompt"):
            reward.encode(PROMPTS).expand(2)


def test_cosine_reward_is_the_scaled_reward_over_its_scale(rewards):
    scaled, plain = (r.score(pictures(), r.encode(PROMPTS)) for r in rewards[:2])
    assert torch.allclose(scaled, plain * rewards[0].model.logit_scale.exp(), atol=1e-4)
    assert plain.abs().max() <= 1


def test_preprocessing_resizes_crops_and_normalises():
    flat = torch.full((1, 3, 48, 96), 0.5)
    out = preprocess(flat, 32)
    assert out.shape == (1, 3, 32, 32)
    assert out[0, 0].mean().item() == pytest.approx((0.5 - 0.48145466) / 0.26862954, abs=1e-4)
    x = torch.rand(1, 3, 64, 64)
    assert torch.allclose(raw(preprocess(x, 64)), x, atol=1e-6), "the size it wants: no resampling"


def raw(pixels):
    """Pixels without CLIP's mean and deviation."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    return pixels * std + mean


@pytest.mark.parametrize(("height", "width"), [(96, 96), (50, 77), (77, 50), (20, 33), (64, 41)])
def test_preprocessing_is_pillows_bicubic_resize_and_a_centre_crop(height, width):
    """An independent resampler with antialiasing, channel by channel in float, on pictures that are not flat: smaller and
    larger than the tower's size, upright and across."""
    import numpy as np
    from PIL import Image

    axis_y, axis_x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    waves = [0.5 + 0.4 * torch.sin(axis_x / (2.0 + k) + axis_y / (5.0 - k)) for k in range(3)]
    picture = torch.stack(waves) + 0.1 * torch.rand(
        (3, height, width), generator=torch.Generator().manual_seed(7)
    )
    size, short = 32, min(height, width)
    shape = tuple(int(size * side / short) for side in (height, width))
    planes = [
        np.asarray(Image.fromarray(plane.numpy()).resize((shape[1], shape[0]), Image.Resampling.BICUBIC))
        for plane in picture
    ]
    top, left = (round((side - size) / 2) for side in shape)
    expected = torch.from_numpy(np.stack(planes))[:, top : top + size, left : left + size]
    assert expected.std() > 0.1
    assert torch.allclose(raw(preprocess(picture[None], size))[0], expected, atol=2e-5)


def test_features_come_as_a_tensor_or_as_an_object():
    model = tiny_clip()
    ids = build_tokenizer()(PROMPTS, padding="max_length", return_tensors="pt").input_ids
    features = tensor_of(model.get_text_features(input_ids=ids))
    assert features.shape == (2, 8)
    assert tensor_of(features) is features


def test_hps_conversion_is_numerically_exact():
    torch.manual_seed(2)
    original = OpenClip().eval()
    for parameter in original.parameters():
        nn.init.normal_(parameter, std=0.3) if parameter.ndim else None
    model = tiny_clip().eval()
    state = original.state_dict() | {"attn_mask": torch.zeros(1)}
    fill(model, from_open_clip(state))
    ids = build_tokenizer()(PROMPTS, padding="max_length", return_tensors="pt").input_ids
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(
            tensor_of(model.get_text_features(input_ids=ids)), original.text(ids), atol=1e-4
        )
        assert torch.allclose(
            tensor_of(model.get_image_features(pixel_values=x)), original.visual(x), atol=1e-4
        )
    with pytest.raises(KeyError, match="not a weight"):
        from_open_clip({"visual.unknown": torch.zeros(1)})


def test_image_reward_conversion_is_numerically_exact():
    torch.manual_seed(3)
    original = OriginalImageReward(len(vocabulary())).eval()
    for name, parameter in original.named_parameters():
        if "LayerNorm" not in name and "norm" not in name:
            nn.init.normal_(parameter, std=0.3)
    target = tiny_blip().eval()
    fill(target, from_image_reward(original.state_dict()))
    x = torch.randn(2, 3, 32, 32)
    tokens = build_tokenizer()(PROMPTS, padding="max_length", return_tensors="pt")
    ids, mask = tokens.input_ids, tokens.attention_mask
    with torch.no_grad():
        seen = original.blip.visual_encoder(x)
        assert torch.allclose(target.picture_tokens(x), seen, atol=1e-4)
        real = mask.bool()
        theirs = original.blip.text_encoder(ids, mask, seen)
        assert torch.allclose(target.text_tokens(ids, mask, seen)[real], theirs[real], atol=1e-4)
        score = target(x, ids, mask)
        assert torch.allclose(score, original(x, ids, mask), atol=1e-4)
        assert score.std() > 1e-3
    with pytest.raises(KeyError, match="not a weight"):
        from_image_reward({"other": torch.zeros(1)})


def test_several_prompts_a_picture_in_one_sequence():
    model = tiny_blip().eval()
    tokens = build_tokenizer()(PROMPTS * 2, padding="max_length", return_tensors="pt")
    seen = model.picture_tokens(torch.randn(2, 3, 32, 32))
    packed = model.packed_text_tokens(
        tokens.input_ids.view(2, 2, -1), tokens.attention_mask.view(2, 2, -1), seen
    )
    apart = model.text_tokens(tokens.input_ids, tokens.attention_mask, seen.repeat_interleave(2, 0))
    real = tokens.attention_mask.bool()
    assert torch.allclose(packed[real], apart[real], atol=1e-5)


def test_saving_and_reading(tmp_path):
    model = tiny_blip().eval()
    model.save_pretrained(tmp_path, torch.float16)
    back = BlipReward.from_pretrained(tmp_path)
    tokens = build_tokenizer()(PROMPTS, padding="max_length", return_tensors="pt")
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        a = model(x, tokens.input_ids, tokens.attention_mask)
        b = back(x, tokens.input_ids, tokens.attention_mask)
    assert torch.allclose(a, b, atol=1e-2)
    assert next(back.parameters()).dtype == torch.float32


@pytest.mark.parametrize("build", [tiny_clip, tiny_blip])
def test_checkpointing_acts_and_changes_no_gradient(build):
    """In eval mode transformers 5 ignores it, so the tower must be in train mode without dropout."""
    reward = None
    grads, calls = [], []
    for on in (False, True):
        model = build()
        tokenizer = build_tokenizer()
        reward = (
            ClipReward("c", model, tokenizer)
            if build is tiny_clip
            else ImageReward("r", model, tokenizer, length=12)
        )
        vision = model.vision_model
        if on:
            checkpoint_gradients(vision)
        number = []
        vision.encoder.layers[0].layer_norm1.register_forward_hook(lambda *_, number=number: number.append(1))
        x = pictures().requires_grad_()
        reward.score(x, reward.encode(PROMPTS)).sum().backward()
        grads.append(x.grad)
        calls.append(len(number))
    assert torch.allclose(grads[0], grads[1], atol=1e-6)
    assert calls[1] == 2 * calls[0], "the layer runs again in the backward pass"


def test_what_has_no_checkpointing_is_named():
    with pytest.raises(TypeError, match="Linear has no gradient checkpointing"):
        checkpoint_gradients(nn.Linear(2, 2))


def test_a_clip_folder_loads(tmp_path):
    tiny_clip().save_pretrained(tmp_path)
    build_tokenizer().save_pretrained(tmp_path)
    reward = load_reward("pickscore", source=str(tmp_path), checkpointing=True)
    assert reward.model.vision_model.training, "or transformers would ignore it"
    assert reward.name == "PickScore"
    assert torch.isfinite(reward.score(pictures(), reward.encode(PROMPTS))).all()


def test_a_folder_in_half_precision_is_read_in_float32(tmp_path):
    """transformers 5 would take the folder's own dtype."""
    tiny_clip().to(torch.float16).save_pretrained(tmp_path)
    build_tokenizer().save_pretrained(tmp_path)
    reward = load_reward("clip", source=str(tmp_path))
    assert {p.dtype for p in reward.model.parameters()} == {torch.float32}
    with pytest.raises(ValueError, match="dtype must be float32 on the CPU; got float16"):
        load_reward("clip", source=str(tmp_path), dtype=torch.float16)


def test_the_text_tower_can_go_once_prompts_are_encoded(rewards):
    for reward in rewards[:2]:
        features = reward.encode(PROMPTS)
        before = reward.score(pictures(), features)
        reward.drop_text()
        assert torch.equal(reward.score(pictures(), features), before)
        with pytest.raises(ValueError, match=r"text tower of .* was dropped"):
            reward.encode(PROMPTS)
    rewards[2].drop_text()
    assert rewards[2].encode(PROMPTS), "its text looks at the picture: nothing goes"
