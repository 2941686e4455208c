"""A generator without weights, for a dry run: built from configurations as fake tensors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import nn

from engines.images.generators.base import Conditioning, Generator
from engines.images.generators.known import EMBEDDED, GeneratorMissing, recipe_of
from engines.images.generators.loading import check_embedded, check_tiny, wrap
from engines.images.generators.parts import ENCODERS, SUPPORTED, Part, Parts, build, config_of, parts_of
from engines.images.memory import Economy, tile_decoder
from engines.images.reasons import reason


def skeleton(
    source: str,
    mode: AbstractContextManager[Any],
    *,
    dtype: torch.dtype,
    size: int = 0,
    economy: Economy,
    local_files_only: bool = False,
) -> tuple[Generator, dict[str, nn.Module]]:
    """The generator of `load_generator` with the same arguments, without weights and text encoders, and the text
    encoders by name. `mode` is the fake tensors' mode. Raises GeneratorMissing."""
    if source in EMBEDDED:
        check_embedded(source, economy)
    known = recipe_of(source)
    try:
        parts = parts_of(source, local_files_only=local_files_only)
        names = [n for n in (parts.network, "vae", *ENCODERS) if n in parts.components]
        built = {}
        for name in names:
            with mode, weights_in(dtype):
                built[name] = build(parts.components[name], local_files_only=local_files_only).eval()
        if dtype == torch.float16 and parts.pipeline == SUPPORTED[1] and built["vae"].config.force_upcast:
            with mode, weights_in(torch.float32):
                built["vae"] = build(parts.components["vae"], local_files_only=local_files_only).eval()
        scheduler = _scheduler(parts.components["scheduler"], local_files_only)
        tiny = _tiny(economy.tiny, mode, dtype, local_files_only) if economy.tiny else None
        if tiny is not None:
            check_tiny(economy.tiny, tiny, built["vae"])
        encoders = {n: built.pop(n) for n in ENCODERS if n in built}
        generator = wrap(
            _pipeline(parts, built, scheduler),
            known.once if known else None,
            size or (known.size if known else 0),
        )
    except (OSError, ValueError, LookupError, ImportError, AttributeError) as error:
        raise GeneratorMissing(f'"{source}" could not be read: {reason(error, source)}.') from error
    generator.tiny = tiny
    if economy.tiles:
        tile_decoder(generator.vae)
    generator.length = _length(parts)  # type: ignore[attr-defined]
    return generator, encoders


def _tiny(
    source: str, mode: AbstractContextManager[Any], dtype: torch.dtype, local_files_only: bool
) -> nn.Module:
    part = Part("diffusers", "AutoencoderTiny", source, "")
    try:
        with mode, weights_in(dtype):
            return build(part, local_files_only=local_files_only).eval()
    except (OSError, ValueError, KeyError) as error:
        raise GeneratorMissing(
            f'The tiny decoder "{source}" could not be read: {reason(error, source)}.'
        ) from error


@contextmanager
def weights_in(dtype: torch.dtype) -> Iterator[None]:
    """Inside it modules are made in `dtype` and not initialised: fake weights can be neither converted nor drawn."""
    from transformers.initialization import no_init_weights

    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with no_init_weights():
            yield
    finally:
        torch.set_default_dtype(before)


def _scheduler(part: Part, local_files_only: bool) -> Any:
    import diffusers

    kind = getattr(diffusers, part.class_name)
    return kind.from_pretrained(part.repository, subfolder=part.subfolder, local_files_only=local_files_only)


def _pipeline(parts: Parts, built: dict[str, nn.Module], scheduler: Any) -> Any:
    import diffusers

    kind = getattr(diffusers, parts.pipeline)
    empty = {n: None for n in parts.components if n.startswith(("text_encoder", "tokenizer"))}
    if parts.pipeline == "StableDiffusionPipeline":
        empty |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    return kind(**empty, **built, scheduler=scheduler)


def _length(parts: Parts) -> int:
    """Tokens of an encoded prompt."""
    fixed = {"PixArtAlphaPipeline": 120, "FluxPipeline": 256}
    if parts.pipeline in fixed:
        return fixed[parts.pipeline]
    return int(config_of(parts.components["text_encoder"]).get("max_position_embeddings", 77))


def blank_conditioning(generator: Any, number: int) -> Conditioning:
    """What `encode` gives for `number` prompts, as zeros."""
    config, dtype = generator.network.config, generator.dtype
    name = type(generator).__name__

    def zeros(*shape: int) -> torch.Tensor:
        return torch.zeros((number, *shape), dtype=dtype)

    if name == "Flux":
        return Conditioning(
            {
                "embeds": zeros(generator.length, config.joint_attention_dim),
                "pooled": zeros(config.pooled_projection_dim),
            }
        )
    if name == "PixArt":
        return Conditioning(
            {
                "embeds": zeros(generator.length, config.caption_channels),
                "mask": torch.ones((number, generator.length), dtype=torch.long),
            }
        )
    tensors = {"embeds": zeros(generator.length, config.cross_attention_dim)}
    if name == "StableDiffusionXL":
        pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        tensors |= {"pooled": zeros(pooled), "ids": zeros(6)}
    return Conditioning(tensors)
