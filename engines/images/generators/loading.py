"""From a name, a folder or a hub id to a generator, or one sentence that says why not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from engines.images.generators.base import Generator
from engines.images.generators.diffusion import FAMILIES
from engines.images.generators.known import (
    EMBEDDED,
    KNOWN,
    PIXART_DMD,
    TURBO,
    GeneratorMissing,
    Known,
    OneStep,
    recipe_of,
)
from engines.images.generators.parts import Parts, parts_of
from engines.images.memory import Economy, checkpoint_gradients, stream_weights, tile_decoder
from engines.images.reasons import reason

if TYPE_CHECKING:
    import torch


def embedded(name: str) -> Generator:
    """G or F of the embedded stack. Raises GeneratorMissing when its files are not there."""
    from engines.images.embedded import EmbeddedWeightsMissing, load_stack

    try:
        return wrap(load_stack(one_step=name == "embedded-g").pipeline)
    except EmbeddedWeightsMissing as error:
        raise GeneratorMissing(str(error)) from error


def load_generator(
    source: str,
    *,
    device: str = "cpu",
    dtype: torch.dtype | None = None,
    once: OneStep | None = None,
    size: int = 0,
    economy: Economy | None = None,
    local_files_only: bool = False,
) -> Generator:
    """A generator from a name of `EMBEDDED` or `KNOWN`, a hub id, or a folder in diffusers' format.

    One step is made in closed form at the recipe's own time step, so the folder's spacing does not matter to it
    (with "leading" or "linspace" a pipeline's single step would be t = 0 and return noise). `dtype` is float32
    unless said; half precision is for a GPU (ValueError on the CPU). How much memory it will take is measured
    before, by `dry_run.measure` with the same arguments. Raises GeneratorMissing with one sentence."""
    economy = economy or Economy()
    check_dtype(device, dtype)
    if source in EMBEDDED:
        check_embedded(source, economy)
        return economise(embedded(source), economy)
    known = recipe_of(source)
    try:
        # the index first: it is small, and a class that is not supported is refused before gigabytes arrive
        parts = parts_of(source, local_files_only=local_files_only)
        pipeline = _pipeline(source, known, parts, dtype, local_files_only)
        tiny = None
        if economy.tiny:
            tiny = load_tiny(economy.tiny, pipeline.vae.dtype, local_files_only)
            check_tiny(economy.tiny, tiny, pipeline.vae)
    except (
        OSError,
        ValueError,
        ImportError,
        RuntimeError,
        LookupError,
        AttributeError,
        SafetensorError,
    ) as error:
        if isinstance(error, GeneratorMissing):
            raise
        raise GeneratorMissing(f'"{source}" could not be loaded: {reason(error, source)}.') from error
    pipeline.set_progress_bar_config(disable=True)
    if economy.encoders_leave or economy.streaming:
        _place(pipeline, parts, device, economy)
    else:
        pipeline.to(device)
    try:
        generator = wrap(
            pipeline, once or (known.once if known else None), size or (known.size if known else 0)
        )
        generator.tiny = tiny.to(device) if tiny is not None else None
        return economise(generator, economy, device)
    except ValueError as error:
        raise GeneratorMissing(f'"{source}" cannot be used like that: {error}') from error


def check_embedded(source: str, economy: Economy) -> None:
    """Raise GeneratorMissing for economies that would do nothing to an embedded model."""
    for is_asked, words in (
        (economy.tiny, "its decoder is a tiny one already"),
        (economy.streaming or economy.encoders_leave, "it takes 30 MB of main memory and no device"),
        (economy.tiles, "its pictures are smaller than a tile"),
    ):
        if is_asked:
            raise GeneratorMissing(f"{source} cannot be made smaller like that: {words}.")


def check_tiny(source: str, tiny: Any, vae: Any) -> None:
    """Raise GeneratorMissing for a tiny decoder that reads other latents than the model's own."""
    own, wanted = (int(m.config.latent_channels) for m in (tiny, vae))
    if own != wanted:
        raise GeneratorMissing(
            f'The tiny decoder "{source}" reads latents of {own} channels, and the model\'s have {wanted}: name the one that '
            "was made for this model (taesd for Stable Diffusion, taesdxl for SDXL, taef1 for FLUX)."
        )


def check_dtype(device: str, dtype: torch.dtype | None) -> None:
    """Raise ValueError for half precision on the CPU: it is slow there, and its rounding is another one."""
    if device.startswith("cpu") and dtype is not None and dtype.itemsize < 4:
        raise ValueError(f"dtype must be float32 on the CPU; got {str(dtype).removeprefix('torch.')}.")


def _pipeline(
    source: str, known: Known | None, parts: Parts, dtype: torch.dtype | None, local_files_only: bool
) -> Any:
    import torch
    from diffusers import DiffusionPipeline

    # both libraries would otherwise take the dtype that a folder was saved in
    options: dict[str, Any] = {"dtype": dtype or torch.float32, "local_files_only": local_files_only}
    options["use_safetensors"] = True
    extras = _extras(known, options) if known else {}
    if parts.pipeline == "StableDiffusionPipeline":
        extras |= {"safety_checker": None, "requires_safety_checker": False}
    if parts.pipeline == "StableDiffusionXLPipeline":
        extras["add_watermarker"] = False
    repository = known.repository if known else source
    if known and known.variant:
        try:
            return DiffusionPipeline.from_pretrained(repository, variant=known.variant, **options, **extras)
        except (OSError, ValueError, ImportError):
            # a copy that has the full files only; where nothing can be had, the second attempt says why
            pass
    return DiffusionPipeline.from_pretrained(repository, **options, **extras)


def _extras(known: Known, options: dict[str, Any]) -> dict[str, Any]:
    """Parts that replace those of the repository: a better VAE, a distilled network."""
    from diffusers import AutoencoderKL, PixArtTransformer2DModel, UNet2DConditionModel

    out: dict[str, Any] = {}
    if known.vae:
        out["vae"] = AutoencoderKL.from_pretrained(known.vae, **options)
    if known.transformer:
        out["transformer"] = PixArtTransformer2DModel.from_pretrained(
            known.transformer, subfolder="transformer", **options
        )
    if known.unet_file:
        from huggingface_hub import hf_hub_download
        from safetensors.torch import load_file

        here = options["local_files_only"]
        config = UNet2DConditionModel.load_config(known.repository, subfolder="unet", local_files_only=here)
        network = UNet2DConditionModel.from_config(config)
        network.load_state_dict(load_file(hf_hub_download(*known.unet_file, local_files_only=here)))
        out["unet"] = network.to(options["dtype"])
    return out


def load_tiny(source: str, dtype: torch.dtype, local_files_only: bool = False) -> Any:
    """A tiny decoder from a hub id or folder (madebyollin/taesd, taesdxl, taef1). Raises GeneratorMissing."""
    from diffusers import AutoencoderTiny

    try:
        tiny = AutoencoderTiny.from_pretrained(
            source, dtype=dtype, use_safetensors=True, local_files_only=local_files_only
        )
    except (OSError, ValueError, ImportError, RuntimeError, SafetensorError) as error:
        raise GeneratorMissing(
            f'The tiny decoder "{source}" could not be loaded: {reason(error, source)}.'
        ) from error
    return tiny.eval().requires_grad_(False)


def _place(pipeline: Any, parts: Parts, device: str, economy: Economy) -> None:
    """Parts on the device, but encoders that leave and a network that is streamed stay in main memory."""
    pipeline.vae.to(device)
    if not economy.streaming:
        getattr(pipeline, parts.network).to(device)
    if not economy.encoders_leave:
        for name in ("text_encoder", "text_encoder_2"):
            if getattr(pipeline, name, None) is not None:
                getattr(pipeline, name).to(device)


def economise(generator: Generator, economy: Economy, device: str = "cpu") -> Generator:
    """The generator with an `Economy` applied. Raises ValueError for a combination that cannot work."""
    import torch

    if economy.tiles and economy.tiny:
        raise ValueError("tiles are for the full decoder: choose tiles or a tiny decoder, not both.")
    generator.encoders_leave = economy.encoders_leave
    decoder = generator.vae if generator.tiny is None else generator.tiny
    if device.startswith("cpu"):
        # oneDNN's own order: the embedded decoder takes a seventh less at batch 1, a quarter less at batch 8
        decoder.to(memory_format=torch.channels_last)
    if economy.tiles:
        tile_decoder(generator.vae)
    if economy.checkpointing:
        for module in (generator.network, decoder):
            checkpoint_gradients(module)
    if economy.streaming:
        stream_weights(generator.network, device)
        generator.device = torch.device(device)
    return generator


def wrap(pipeline: Any, once: OneStep | None = None, size: int = 0) -> Generator:
    """The generator that drives a loaded pipeline.

    Raises GeneratorMissing for a class that is not supported."""
    from engines.images.generators.flux import Flux

    name = type(pipeline).__name__
    if name == "FluxPipeline":
        return Flux(pipeline, size or 512)
    if name not in FAMILIES:
        known = ", ".join([*FAMILIES, "FluxPipeline"])
        raise GeneratorMissing(f"{name} is not supported; folders of these classes are: {known}.")
    build: Callable[..., Generator] = FAMILIES[name]
    default = PIXART_DMD if name == "PixArtAlphaPipeline" else TURBO
    return build(pipeline, once or default, size)


__all__ = ["EMBEDDED", "KNOWN", "GeneratorMissing", "economise", "load_generator", "load_tiny", "wrap"]
