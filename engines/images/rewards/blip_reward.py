"""The network of ImageReward on the Blip parts of transformers; R2 of the embedded stack is a small one.

A picture tower (BlipVisionModel), a text tower that attends to its tokens (BlipTextModel, bidirectional), and an
MLP without activations on the state of the first text token."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import BlipTextConfig, BlipTextModel, BlipVisionConfig, BlipVisionModel


class BlipReward(nn.Module):
    """Scores a picture for a prompt. `vision` and `text` are configurations of the towers (the text tower's
    `encoder_hidden_size` is the picture tower's width); `widths` are the MLP's: ImageReward's are
    (1024, 128, 64, 16, 1)."""

    def __init__(self, vision: dict[str, Any], text: dict[str, Any], widths: tuple[int, ...]) -> None:
        super().__init__()
        self.config = {"vision": vision, "text": text, "widths": list(widths)}
        self.vision_model = BlipVisionModel(BlipVisionConfig(**vision))
        self.text_encoder = BlipTextModel(BlipTextConfig(is_decoder=True, **text), add_pooling_layer=False)
        sizes = [int(text["hidden_size"]), *widths]
        self.mlp = nn.Sequential(*(nn.Linear(a, b) for a, b in pairwise(sizes)))

    def picture_tokens(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalised pixels [N, 3, H, W] to tokens [N, 1 + patches, width]."""
        return self.vision_model(pixel_values=pixels).last_hidden_state

    def text_tokens(self, ids: torch.Tensor, mask: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Prompts (ids and mask [N, L]) that look at picture tokens: states [N, L, width]."""
        return self.text_encoder(
            input_ids=ids,
            attention_mask=mask,
            encoder_hidden_states=tokens,
            encoder_attention_mask=torch.ones(tokens.shape[:2], dtype=torch.long, device=tokens.device),
            is_decoder=False,
        ).last_hidden_state

    def packed_text_tokens(self, ids: torch.Tensor, mask: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Several prompts a picture in one sequence, so that the picture's keys and values are computed once:
        ids and mask [N, K, L] to states [N * K, L, width], equal to `text_tokens` where the mask is 1."""
        n, k, length = ids.shape
        own = torch.block_diag(*[torch.ones(length, length, dtype=torch.bool)] * k)
        real = mask.bool().view(n, 1, 1, k * length)
        seen = torch.zeros(n, 1, k * length, k * length)
        seen.masked_fill_(~(own[None, None] & real), torch.finfo(seen.dtype).min)
        states = self.text_encoder(
            input_ids=ids.view(n, k * length),
            attention_mask=seen,
            position_ids=torch.arange(length).repeat(k)[None],
            encoder_hidden_states=tokens,
            encoder_attention_mask=torch.ones(tokens.shape[:2], dtype=torch.long),
            is_decoder=False,
        ).last_hidden_state
        return states.view(n * k, length, -1)

    def forward(self, pixels: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Score [N] of normalised pixels [N, 3, H, W] with one prompt each."""
        return self.mlp(self.text_tokens(ids, mask, self.picture_tokens(pixels))[:, 0])[:, 0]

    def save_pretrained(self, folder: Path, dtype: torch.dtype = torch.float32) -> None:
        """Write `config.json` and `model.safetensors`."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.config, indent=2) + "\n")
        weights = {k: v.to(dtype).contiguous() for k, v in self.state_dict().items() if v.is_floating_point()}
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    @classmethod
    def from_pretrained(cls, folder: Path, dtype: torch.dtype = torch.float32) -> BlipReward:
        """Read what `save_pretrained` wrote, in eval mode. Raises FileNotFoundError for a missing file."""
        from safetensors.torch import load_file

        config = json.loads((folder / "config.json").read_text())
        model = cls(config["vision"], config["text"], tuple(config["widths"]))
        missing, unexpected = model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
        wrong = [k for k in missing if not k.endswith("position_ids")] + list(unexpected)
        if wrong:
            raise ValueError(f"{folder / 'model.safetensors'} does not fit its config.json: {wrong[0]}.")
        return model.to(dtype).eval()
