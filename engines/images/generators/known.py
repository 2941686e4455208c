"""The models that are known by name: their repositories, one-step recipes, and the papers' steps and guidance."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class OneStep:
    """How a model is called once: the time step, and whether the noise is scaled by s (Euler with trailing
    spacing, whose init_noise_sigma is sigma) or taken as it is (DDPM, LCM)."""

    time: int
    is_scaled: bool


TURBO = OneStep(999, True)
PIXART_DMD = OneStep(400, False)
HYPER_SD = OneStep(800, False)


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
