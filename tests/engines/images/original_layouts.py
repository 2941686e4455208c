"""The published rewards' networks in the names and with the mathematics of their own code, tiny, written independently of the
conversions that are tested against them: OpenCLIP (HPSv2.1), BLIP's ViT and BERT (ImageReward)."""

from __future__ import annotations

import torch
from torch import nn

from engines.images.world.tokens import EOS, vocabulary


class Block(nn.Module):
    """A residual block in OpenCLIP's names."""

    def __init__(self, width):
        super().__init__()
        self.attn = nn.MultiheadAttention(width, 2, batch_first=True)
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(width, 2 * width))
        self.mlp.add_module("gelu", nn.GELU())
        self.mlp.add_module("c_proj", nn.Linear(2 * width, width))

    def forward(self, x, mask=None):
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=mask)[0]
        return x + self.mlp(self.ln_2(x))


class Trunk(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.resblocks = nn.ModuleList([Block(width), Block(width)])


class Visual(nn.Module):
    """OpenCLIP's picture tower."""

    def __init__(self, width=16):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 16, 16, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(width))
        self.positional_embedding = nn.Parameter(torch.randn(5, width))
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = Trunk(width)
        self.proj = nn.Parameter(torch.randn(width, 8))

    def forward(self, x):
        x = self.conv1(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], 1) + self.positional_embedding
        x = self.ln_pre(x)
        for block in self.transformer.resblocks:
            x = block(x)
        return self.ln_post(x[:, 0]) @ self.proj


class OpenClip(nn.Module):
    """OpenCLIP in its own layout, written independently of the conversion."""

    def __init__(self, width=16):
        super().__init__()
        self.visual = Visual(width)
        self.token_embedding = nn.Embedding(len(vocabulary()), width)
        self.positional_embedding = nn.Parameter(torch.randn(12, width))
        self.transformer = Trunk(width)
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.randn(width, 8))
        self.logit_scale = nn.Parameter(torch.tensor(2.0))

    def text(self, ids):
        x = self.token_embedding(ids) + self.positional_embedding
        mask = torch.full((12, 12), float("-inf")).triu(1)
        for block in self.transformer.resblocks:
            x = block(x, mask)
        first_end = (ids == EOS).int().argmax(1)
        return self.ln_final(x)[torch.arange(len(ids)), first_end] @ self.text_projection


class TimmBlock(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-5), nn.LayerNorm(width, eps=1e-5)
        self.attn = nn.Module()
        self.attn.qkv, self.attn.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Module()
        self.mlp.fc1, self.mlp.fc2 = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x):
        n, length, width = x.shape
        q, k, v = self.attn.qkv(self.norm1(x)).view(n, length, 3, 2, width // 2).permute(2, 0, 3, 1, 4)
        y = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, length, width)
        x = x + self.attn.proj(y)
        return x + self.mlp.fc2(nn.functional.gelu(self.mlp.fc1(self.norm2(x))))


class TimmVit(nn.Module):
    """The picture tower in the names of BLIP's own code."""

    def __init__(self, width=16):
        super().__init__()
        self.cls_token = nn.Parameter(torch.randn(1, 1, width))
        self.pos_embed = nn.Parameter(torch.randn(1, 5, width))
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, width, 16, 16)
        self.blocks = nn.ModuleList([TimmBlock(width), TimmBlock(width)])
        self.norm = nn.LayerNorm(width, eps=1e-5)

    def forward(self, x):
        x = self.patch_embed.proj(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class BertAttention(nn.Module):
    """Attention with BERT's names: `self.query`, `output.dense`, `output.LayerNorm` after the residual."""

    def __init__(self, width, seen_width):
        super().__init__()
        inner, out = nn.Module(), nn.Module()
        inner.query = nn.Linear(width, width)
        inner.key, inner.value = nn.Linear(seen_width, width), nn.Linear(seen_width, width)
        out.dense, out.LayerNorm = nn.Linear(width, width), nn.LayerNorm(width, eps=1e-12)
        self.add_module("self", inner)
        self.output = out

    def forward(self, x, seen, mask=None, heads=2):
        inner = self.self
        n, length, width = x.shape

        def split(t):
            return t.view(n, -1, heads, width // heads).transpose(1, 2)

        q, k, v = split(inner.query(x)), split(inner.key(seen)), split(inner.value(seen))
        score = q @ k.transpose(-1, -2) / (width // heads) ** 0.5
        if mask is not None:
            score = score.masked_fill(mask[:, None, None, :] == 0, float("-inf"))
        y = (score.softmax(-1) @ v).transpose(1, 2).reshape(n, length, width)
        return self.output.LayerNorm(self.output.dense(y) + x)


class BertLayer(nn.Module):
    def __init__(self, width, seen_width):
        super().__init__()
        self.attention = BertAttention(width, width)
        self.crossattention = BertAttention(width, seen_width)
        self.intermediate, self.output = nn.Module(), nn.Module()
        self.intermediate.dense = nn.Linear(width, 2 * width)
        self.output.dense, self.output.LayerNorm = nn.Linear(2 * width, width), nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask, tokens):
        x = self.attention(x, x, mask)
        x = self.crossattention(x, tokens)
        y = self.output.dense(nn.functional.gelu(self.intermediate.dense(x)))
        return self.output.LayerNorm(y + x)


class Bert(nn.Module):
    """BLIP's text tower: BERT without token types, each layer also looks at the picture's tokens, both ways."""

    def __init__(self, tokens, width=16, seen_width=16):
        super().__init__()
        self.embeddings, self.encoder = nn.Module(), nn.Module()
        self.embeddings.word_embeddings = nn.Embedding(tokens, width)
        self.embeddings.position_embeddings = nn.Embedding(12, width)
        self.embeddings.LayerNorm = nn.LayerNorm(width, eps=1e-12)
        self.embeddings.register_buffer("position_ids", torch.arange(12)[None])
        self.encoder.layer = nn.ModuleList([BertLayer(width, seen_width) for _ in range(2)])

    def forward(self, ids, mask, tokens):
        places = self.embeddings.position_embeddings(torch.arange(ids.shape[1]))
        x = self.embeddings.LayerNorm(self.embeddings.word_embeddings(ids) + places)
        for layer in self.encoder.layer:
            x = layer(x, mask, tokens)
        return x


class OriginalImageReward(nn.Module):
    """ImageReward as published: `blip.visual_encoder`, `blip.text_encoder`, and an MLP whose dropouts are counted."""

    def __init__(self, tokens):
        super().__init__()
        self.blip, self.mlp = nn.Module(), nn.Module()
        self.blip.visual_encoder, self.blip.text_encoder = TimmVit(), Bert(tokens)
        self.mlp.layers = nn.Sequential(
            nn.Linear(16, 8), nn.Dropout(0.2), nn.Linear(8, 4), nn.Dropout(0.1), nn.Linear(4, 1)
        )

    def forward(self, pixels, ids, mask):
        states = self.blip.text_encoder(ids, mask, self.blip.visual_encoder(pixels))
        return self.mlp.layers(states[:, 0])[:, 0]
