"""From a folder or a hub id to a generator, and the table of models that are known by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines.images.generators.base import Generator
from engines.images.generators.diffusion import FAMILIES, HYPER_SD, PIXART_DMD, TURBO, OneStep

if TYPE_CHECKING:
    import torch


class GeneratorMissing(RuntimeError):
    """A model cannot be loaded; the message says why in one sentence and what to do."""


@dataclass(frozen=True)
class Known:
    """A model known by name. `once` is None where one step makes no picture; `size` in pixels."""

    repository: str
    once: OneStep | None = TURBO
    steps: int = 1
    guidance: float = 1.0
    size: int = 512
    vae: str = ""
    transformer: str = ""
    unet_file: tuple[str, str] | None = None
    variant: str | None = None


KNOWN: dict[str, Known] = {
    "sd-turbo": Known("stabilityai/sd-turbo", variant="fp16"),
    "sdxl-turbo": Known("stabilityai/sdxl-turbo", vae="madebyollin/sdxl-vae-fp16-fix", variant="fp16"),
    "pixart-dmd": Known(
        "PixArt-alpha/PixArt-XL-2-1024-MS",
        once=PIXART_DMD,
        transformer="PixArt-alpha/PixArt-Alpha-DMD-XL-2-512x512",
    ),
    "hyper-sd": Known(
        "stabilityai/stable-diffusion-xl-base-1.0",
        once=HYPER_SD,
        size=1024,
        unet_file=("ByteDance/Hyper-SD", "Hyper-SDXL-1step-Unet.safetensors"),
    ),
    "flux-schnell": Known("black-forest-labs/FLUX.1-schnell"),
    "flux-dev": Known("black-forest-labs/FLUX.1-dev", once=None, steps=20, guidance=3.5),
    "sd-2-1": Known("stabilityai/stable-diffusion-2-1-base", once=None, steps=50, guidance=7.5),
    "sdxl": Known("stabilityai/stable-diffusion-xl-base-1.0", once=None, steps=20, guidance=5.0),
    "realvisxl": Known("SG161222/RealVisXL_V4.0", once=None, steps=20, guidance=5.0),
}
"""Names of the papers' models: repositories, one-step recipes, and the papers' steps and guidance."""


EMBEDDED = ("embedded-g", "embedded-f")
"""The embedded models: one step, and many steps with guidance 3. Float32 on the CPU whatever is asked."""


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
    local_files_only: bool = False,
) -> Generator:
    """A generator from a name of `EMBEDDED` or `KNOWN`, a hub id, or a folder in diffusers' format.

    One step is made in closed form at the recipe's own time step, so the folder's spacing does not matter to it
    (with "leading" or "linspace" a pipeline's single step would be t = 0 and return noise). Raises
    GeneratorMissing with one sentence."""
    import torch
    from diffusers import DiffusionPipeline

    if source in EMBEDDED:
        return embedded(source)
    known = KNOWN.get(source)
    repository = known.repository if known else source
    options: dict[str, Any] = {"dtype": dtype or torch.float32, "local_files_only": local_files_only}
    options["use_safetensors"] = True
    try:
        if known:
            options |= _extras(known, options)
        if _class_name(repository) == "StableDiffusionPipeline":
            options |= {"safety_checker": None, "requires_safety_checker": False}
        pipeline = DiffusionPipeline.from_pretrained(repository, **options)
    except (OSError, ValueError, ImportError) as error:
        first = str(error).strip().splitlines()[0]
        raise GeneratorMissing(
            f'"{source}" could not be loaded ({first}): check the name, the network or the folder.'
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    return wrap(
        pipeline.to(device), once or (known.once if known else None), size or (known.size if known else 0)
    )


def _class_name(repository: str) -> str:
    """Class of a local folder's pipeline, empty for a hub id."""
    index = Path(repository) / "model_index.json"
    return str(json.loads(index.read_text()).get("_class_name", "")) if index.is_file() else ""


def _extras(known: Known, options: dict[str, Any]) -> dict[str, Any]:
    """Parts that replace those of the repository: a better VAE, a distilled network."""
    from diffusers import AutoencoderKL, PixArtTransformer2DModel, UNet2DConditionModel

    out: dict[str, Any] = {}
    if known.variant:
        out["variant"] = known.variant
    if known.vae:
        out["vae"] = AutoencoderKL.from_pretrained(known.vae, **options)
    if known.transformer:
        out["transformer"] = PixArtTransformer2DModel.from_pretrained(
            known.transformer, subfolder="transformer", **options
        )
    if known.unet_file:
        from huggingface_hub import hf_hub_download
        from safetensors.torch import load_file

        config = UNet2DConditionModel.load_config(known.repository, subfolder="unet")
        network = UNet2DConditionModel.from_config(config)
        network.load_state_dict(load_file(hf_hub_download(*known.unet_file)))
        out["unet"] = network.to(options["dtype"])
    return out


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
