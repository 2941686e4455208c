"""Another program's settings into the form of an image engine, and in words what could not be taken.

taken = best_engine(catalog.engines, pngmetadata.read(data))
taken.values, taken.seed, taken.sentences(...)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engines.contract import Engine, Params
from engines.validation import Refused, validate
from workbench.errors import NotOurPicture
from workbench.pngforeign import Foreign
from workbench.values import MAX_SEED


@dataclass(frozen=True)
class Taken:
    """What of it an engine's form can hold."""

    engine: str
    values: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    taken: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    def sentences(self, tool: str, title: str) -> list[str]:
        """For the page: what was taken, what was not and why."""
        said = [f"Read from {tool}'s record into {title}: {', '.join(self.taken) or 'nothing'}."]
        if self.left:
            said.append(f"Not taken: {'; '.join(self.left)}.")
        said.append("The picture will be another one: the same seed means other noise in another program.")
        return said


FIELDS: Mapping[str, tuple[str, ...]] = {
    "prompt": ("prompt",),
    "negative": ("negative_prompt",),
    "steps": ("steps", "num_inference_steps"),
    "guidance": ("guidance", "guidance_scale"),
    "size": ("size", "resolution"),
}
"""Our names to the names of fields under which an engine may declare them."""


def into_engine(engine: Engine, found: Foreign) -> Taken:
    """What of a foreign record fits the fields of an engine, each value checked by the field's own rule alone."""
    values: dict[str, Any] = {}
    taken: list[str] = []
    left: list[str] = []
    shown = {"prompt": f'the prompt "{_short(found.prompt)}"', "negative": "the negative prompt"}
    shown |= {"steps": f"{found.steps} steps", "guidance": f"guidance {found.guidance}"}
    shown["size"] = f"size {found.width}x{found.height}"
    offered: dict[str, Any] = {"prompt": found.prompt or None, "negative": found.negative or None}
    offered |= {"steps": found.steps, "guidance": found.guidance}
    offered["size"] = found.width if found.width and found.height else None
    for name, value in offered.items():
        if value is None:
            continue
        declared = next((f for f in FIELDS[name] if f in engine.params.model_fields), None)
        if declared is None:
            left.append(f"{shown[name]} ({engine.paper.short} has no such setting)")
        elif name == "size" and found.width != found.height:
            left.append(f"{shown[name]} ({engine.paper.short} draws squares)")
        elif rule := _broken(engine.params, declared, value):
            left.append(f"{shown[name]} ({rule})")
        else:
            values[declared] = value
            taken.append(shown[name])
    seed = found.seed
    if seed is not None and seed < 0:
        left.append(f"seed {seed} (a seed is a whole number from 0 here)")
        seed = None
    elif seed is not None and seed > MAX_SEED:
        # ComfyUI and Fooocus draw from 64 bits. Their noise is not ours anyway; what is kept is that equal seeds stay equal.
        seed %= MAX_SEED + 1
        taken.append(
            f"seed {seed} (what remains of {found.seed} after division by 2^32, the range of seeds here)"
        )
    elif seed is not None:
        taken.append(f"seed {seed}")
    if found.model:
        left.append(f"the model {_short(found.model)} (choose one that is known here)")
    if found.sampler:
        left.append(f"the sampler {_short(found.sampler)}")
    left += list(found.remarks)
    return Taken(engine.key, values, seed, tuple(taken), tuple(left))


def _broken(model: type[Params], name: str, value: Any) -> str:
    """Why a field does not take a value, without its full stop; "" where it does. Other fields' complaints (the
    prompt may need another model) are left to the form."""
    try:
        validate(model, {name: value})
    except Refused as error:
        for one in error.errors:
            if one.field == name and one.value is not None:
                return one.sentence.rstrip(".")
    return ""


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else line[:57] + "..."


def best_engine(engines: Mapping[str, Engine], found: Foreign, wanted: str = "") -> Taken:
    """The image engine that is wanted, else the one whose form holds most of it; of equals the first. Raises NotOurPicture
    without any."""
    fitting = [
        into_engine(engine, found)
        for engine in engines.values()
        if engine.paper.family == "images" and "prompt" in engine.params.model_fields
    ]
    if not fitting:
        raise NotOurPicture(
            f"This picture is {found.tool}'s, and no engine here makes pictures from prompts."
        )
    return max(fitting, key=lambda taken: (taken.engine == wanted, len(taken.taken)))
