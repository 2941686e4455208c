"""Noise that a reader brings: does it fit the model? Told from headers and configurations, before anything is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engines.contract import Refusal
from engines.images import choices, noise_file
from engines.images.embedded import WEIGHTS
from engines.images.generators.known import KNOWN

FIELD = noise_file.FIELD
Shape = tuple[int, int, int]
_KNOWN_CHANNELS = {"flux-schnell": 16, "flux-dev": 16}
_FACTOR = 8
"""Pixels a latent of all models known by name, and the side of FLUX in pixels unless said."""
_FLUX_SIZE = 512


def check_header(path: Path, model: str) -> None:
    """Refuse a file that is no noise, or noise of another shape than the model's where that can be told here."""
    noise_file.count_noise(path, FIELD)
    wanted = shape_of(model)
    if wanted is not None:
        _refuse_misfit(path, model, wanted)


def check_hub(path: Path, model: str) -> None:
    """As `check_header` for a model of the hub, whose configurations are asked for (not its weights)."""
    from engines.images.generators.known import GeneratorMissing
    from engines.images.generators.parts import config_of, parts_of

    try:
        parts = parts_of(model)
        wanted = _shape(parts.pipeline, lambda name: config_of(parts.components[name]))
    except (GeneratorMissing, OSError, ValueError, KeyError):
        return  # opening the model says why
    _refuse_misfit(path, model, wanted)


def shape_of(model: str) -> Shape | None:
    """Channels, height and width of a model's noise, from a folder or by name; None for other models of the hub."""
    if model in KNOWN:
        side = KNOWN[model].size // _FACTOR
        return _KNOWN_CHANNELS.get(model, 4), side, side
    folder = WEIGHTS / "stack" if choices.is_embedded(model) else Path(model).expanduser()
    if not folder.is_dir():
        return None

    def read(name: str) -> Mapping[str, Any]:
        return dict(json.loads((folder / name / "config.json").read_text(encoding="utf-8")))

    try:
        index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
        return _shape(str(index.get("_class_name")), read)
    except (OSError, ValueError, KeyError, TypeError):
        return None  # opening the model says why


def _shape(pipeline: str, config: Callable[[str], Mapping[str, Any]]) -> Shape:
    """As the generators find it, from the configurations of network and decoder."""
    vae = config("vae")
    if pipeline == "FluxPipeline":
        factor = 2 ** len(vae["block_out_channels"])
        side = 2 * (_FLUX_SIZE // factor)
        return int(config("transformer")["in_channels"]) // 4, side, side
    side = int(config("transformer" if pipeline.startswith("PixArt") else "unet")["sample_size"])
    return int(vae["latent_channels"]), side, side


def _refuse_misfit(path: Path, model: str, wanted: Shape) -> None:
    shape = _header(path)
    if shape[-3:] != wanted:
        raise Refusal(
            FIELD,
            f"{FIELD} must be of shape N x {' x '.join(map(str, wanted))} for {model[:80]}; got {' x '.join(map(str, shape))}. "
            "Bring noise that was found for a model of the same latents, or remove the file.",
        )


def _header(path: Path) -> tuple[int, ...]:
    """The shape of a file that `count_noise` has taken."""
    if path.suffix == ".npy":
        import numpy as np

        return tuple(np.load(path, mmap_mode="r", allow_pickle=False).shape)
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return tuple(file.get_slice("noise").get_shape())
