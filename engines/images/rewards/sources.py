"""Where a reward is read from: its weights file, and the companions that the file does not contain.

A source is a weights file, a folder, a hub id, or empty for the published repository. Companions (configuration,
tokenizer) are taken from the folder of the weights where it has them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from engines.images.reasons import looks_local, reason
from engines.images.rewards.base import RewardMissing

T = TypeVar("T")
CLIP_H = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
PICKSCORE = "yuvalkirstain/PickScore_v1"
HPS = ("xswu/HPSv2", "HPS_v2.1_compressed.pt")
IMAGE_REWARD = ("THUDM/ImageReward", "ImageReward.pt")
CLIP_L = "openai/clip-vit-large-patch14"
AESTHETIC = ("trl-lib/ddpo-aesthetic-predictor", "aesthetic-model.pth")
BERT = "bert-base-uncased"
ENDINGS = (".safetensors", ".pt", ".pth", ".bin")
TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt")


def weights_file(source: str, published: tuple[str, str]) -> Path:
    """The weights file of a source: the file itself, that of a folder (the published name, or the only one), or the
    published name in a repository of the hub.

    Raises RewardMissing where a folder leaves it open, OSError where there is nothing."""
    repository, name = published
    if not source or not looks_local(source):
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(source or repository, name))
    path = Path(source).expanduser()
    if not path.is_dir():
        return path
    if (path / name).is_file():
        return path / name
    found = sorted(file for file in path.iterdir() if file.suffix in ENDINGS)
    if len(found) == 1:
        return found[0]
    few = (
        f"holds several weights files ({', '.join(f.name for f in found[:3])})"
        if found
        else "holds no weights file"
    )
    raise RewardMissing(f'the folder "{source}" {few}: name the file, or put {name} into it.')


def config_at(source: str, published: str) -> str:
    """The folder of the weights where it has the config.json of a CLIP, the published repository otherwise."""
    folder = folder_of(source)
    path = folder / "config.json" if folder else None
    if path is None or not path.is_file() or json.loads(path.read_text()).get("model_type") != "clip":
        return published
    return str(folder)


def tokenizer_at(source: str, published: str) -> str:
    """The folder of the weights where it has a tokenizer, the published repository otherwise."""
    folder = folder_of(source)
    return str(folder) if folder and any((folder / name).is_file() for name in TOKENIZERS) else published


def folder_of(source: str) -> Path | None:
    """The folder on this machine that a source lies in, None for the hub."""
    if not source or not looks_local(source):
        return None
    path = Path(source).expanduser()
    return path if path.is_dir() else path.parent


def companion(what: str, at: str, read: Callable[[str], T]) -> T:
    """`read(at)`, and where that fails a RewardMissing which says what is missing beside the weights."""
    try:
        return read(at)
    except (OSError, ValueError, KeyError, ImportError) as error:
        why = reason(error, at).partition(":")[0]
        raise RewardMissing(
            f"beside its weights it needs {what} of {at}, and {why}: put the files into the folder of the weights, or "
            "connect once"
        ) from error


def fitting(tokenizer: Any, vocabulary: int) -> Any:
    """The tokenizer, where the model knows all its tokens. Raises RewardMissing."""
    if len(tokenizer) > vocabulary:
        raise RewardMissing(
            f"its tokenizer has {len(tokenizer):,} tokens and the model knows {vocabulary:,}: put the model's own tokenizer "
            "into the folder of the weights"
        )
    return tokenizer
