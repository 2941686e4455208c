"""Knobs of full-size models that the engines of the family share, and what they mean together. Imports nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from pydantic import Field

from engines.contract import Refusal, knob
from engines.images.choices import is_embedded

if TYPE_CHECKING:
    from engines.images.memory import Economy

Offload = Literal["none", "encoders", "layers"]
Sources = tuple[Annotated[str, Field(max_length=400)], ...]
TINY_DECODERS = ("madebyollin/taesd", "madebyollin/taesdxl", "madebyollin/taef1")


def reward_sources(group: str) -> Any:
    """Where rewards are read from; `choices.check_sources` reads it."""
    return knob(
        (), title="Rewards from", own_machine_only=True, max_length=5, advanced=True, group=group, suggestions=("clip=openai/clip-vit-base-patch32",),
        help="Written as reward=folder, weights file or hub id, in place of the published ones; several parted by commas. Rewards: clip, pickscore, hpsv2.1, imagereward, aesthetic.",
    )  # fmt: skip


def tiny_decoder(group: str, help: str) -> Any:
    """A small decoder in place of the full one."""
    return knob(
        "", title="Tiny decoder", own_machine_only=True, max_length=300, advanced=True, group=group, suggestions=TINY_DECODERS, help=help,
    )  # fmt: skip


def offload(group: str, more: str = "") -> Any:
    """What of a model waits in main memory."""
    return knob(
        "encoders", title="Kept in main memory", advanced=True, group=group,
        labels={"none": "Nothing", "encoders": "Text encoders", "layers": "All layers"},
        help=f"Of full-size models: text encoders once prompts are encoded, or the network too, whose layers visit the GPU in turn (many times slower){more}.",
    )  # fmt: skip


def tiles(group: str) -> Any:
    """Decoding piece by piece."""
    return knob(
        False, title="Decode in tiles", advanced=True, group=group,
        help="The full decoder works on overlapping tiles: less memory for large pictures, slightly other ones near the seams.",
    )  # fmt: skip


class Sparing(Protocol):
    """Parameters with these knobs."""

    model: str
    tiny_decoder: str
    offload: Offload
    tiles: bool


def check(params: Sparing, *, checkpointing: bool | None = None) -> None:
    """Refuse what would do nothing or cannot go together. `checkpointing` is that of a run with gradients, None without."""
    if is_embedded(params.model) or params.model == "closed-form":
        for field, is_asked, words in (
            ("tiny_decoder", params.tiny_decoder, "its decoder is a tiny one already. Leave it empty"),
            ("offload", params.offload == "layers", "it takes 30 MB. Choose encoders or none"),
            ("tiles", params.tiles, "its pictures are smaller than a tile. Turn it off"),
        ):
            if is_asked:
                raise Refusal(
                    field, f"{field} is for full-size models, and model is {params.model}: {words}."
                )
        return
    if params.tiles and params.tiny_decoder:
        raise Refusal(
            "tiles",
            "tiles are for the full decoder, and tiny_decoder names another. Turn tiles off, or leave tiny_decoder empty.",
        )
    if params.offload == "layers" and checkpointing is False:
        raise Refusal(
            "offload",
            "offload must be none or encoders without checkpointing: the gradient would keep all layers on the GPU. Turn "
            "checkpointing on.",
        )


def economy_of(params: Sparing, *, checkpointing: bool = False) -> Economy:
    """What is done to need less memory. Prompts are encoded once, so the encoders of full-size models may leave."""
    from engines.images.memory import Economy

    own = is_embedded(params.model)
    return Economy(
        checkpointing=checkpointing,
        encoders_leave=not own and params.offload != "none",
        streaming=params.offload == "layers",
        tiny=params.tiny_decoder,
        tiles=params.tiles,
    )
