"""Settings that other programs wrote into their pictures: A1111, ComfyUI, Fooocus, InvokeAI.

    found = read(data)     None where the picture has none of theirs; NotOurPicture where it is damaged

`pngforms.py` puts what was found into an engine's form.

Where each keeps them (text chunks of the PNG):

- A1111 and its forks: `parameters`, the prompt, a line "Negative prompt: ...", a line "Steps: 20, Seed: 1, ...".
- Fooocus: `parameters` as JSON, or as A1111's text, with `fooocus_scheme` beside it.
- InvokeAI: `invokeai_metadata`, JSON with flat names; before version 3 `sd-metadata`, JSON with an `image`.
- ComfyUI: `prompt`, the graph as JSON (`pngcomfy.py`).

Everything is data from a stranger: sizes and depths are bounded, and nothing of it is run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from workbench.errors import NotOurPicture
from workbench.pngchunks import text_chunks, unpack
from workbench.pngcomfy import comfy
from workbench.pngforeign import Foreign, number_of, size_of, text_of, whole_of

WANTED = ("parameters", "fooocus_scheme", "prompt", "invokeai_metadata", "sd-metadata")
_SETTINGS = re.compile(r"\s*Steps:\s*\d+\s*,")
_PAIR = re.compile(r'\s*([A-Za-z][\w /-]{0,60}):\s*("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)')


def read(data: bytes) -> Foreign | None:
    """The settings in a PNG. None where no program's record is there; NotOurPicture, in one sentence, where there
    is one that cannot be read."""
    texts: dict[str, str] = {}
    for keyword, kind, body, checksum in text_chunks(data):
        if keyword in WANTED and keyword not in texts:
            texts[keyword] = unpack(keyword, kind, body, checksum)
    if "invokeai_metadata" in texts:
        return _invoke(_object(texts["invokeai_metadata"], "InvokeAI"))
    if "sd-metadata" in texts:
        return _old_invoke(_object(texts["sd-metadata"], "InvokeAI"))
    if "parameters" in texts:
        text = texts["parameters"]
        if texts.get("fooocus_scheme") == "fooocus" or (text.lstrip().startswith("{") and '"prompt"' in text):
            return _fooocus(_object(text, "Fooocus"))
        return _a1111(text, "Fooocus" if "fooocus_scheme" in texts else "A1111")
    if "prompt" in texts:
        return comfy(_object(texts["prompt"], "ComfyUI"))
    return None


def _object(text: str, tool: str) -> Mapping[str, Any]:
    """A JSON object. ComfyUI writes bare NaN, which becomes None."""
    try:
        found = json.loads(text, parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        raise NotOurPicture(f"{tool}'s record in this picture is damaged: it is not JSON.") from error
    if not isinstance(found, dict):
        raise NotOurPicture(f"{tool}'s record in this picture is damaged: it is no JSON object.")
    return found


def _a1111(text: str, tool: str) -> Foreign:
    """The prompt's lines, those of the negative prompt, and the line of pairs: the last that begins with "Steps:" (extensions
    write lines of their own behind it, such as "Template: ..."), without one the last of all."""
    lines = text.strip().split("\n")
    pairs: dict[str, str] = {}
    at = next((k for k in reversed(range(len(lines))) if _SETTINGS.match(lines[k])), len(lines) - 1)
    last = _PAIR.findall(lines[at][:100_000])
    if len(last) >= 3:
        lines = lines[:at]
        pairs = {name.strip(): _unquoted(value) for name, value in last}
    start = next(
        (k for k, line in enumerate(lines) if line.strip().startswith("Negative prompt:")), len(lines)
    )
    negative = "\n".join(lines[start:]).strip().removeprefix("Negative prompt:")
    width, height = size_of(pairs.get("Size"))
    remarks = [name for name in ("Hires upscale", "Denoising strength", "ControlNet 0") if name in pairs]
    prompt = pairs.get("Raw prompt") or "\n".join(lines[:start])
    if not (pairs or prompt.strip()):
        raise NotOurPicture(f"{tool}'s record in this picture is empty.")
    return Foreign(
        tool,
        prompt=text_of(prompt),
        negative=text_of(pairs.get("Raw negative prompt") or negative),
        seed=whole_of(pairs.get("Seed")),
        steps=whole_of(pairs.get("Steps")),
        guidance=number_of(pairs.get("CFG scale")),
        width=width,
        height=height,
        sampler=text_of(pairs.get("Sampler")),
        model=text_of(pairs.get("Model")),
        remarks=tuple(remarks),
    )


def _unquoted(value: str) -> str:
    """A value with commas, colons or line ends is written as a JSON string."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        try:
            return str(json.loads(value))
        except ValueError:
            return value[1:-1]
    return value.strip()


def _fooocus(record: Mapping[str, Any]) -> Foreign:
    width, height = size_of(record.get("resolution"))
    return Foreign(
        "Fooocus",
        prompt=text_of(record.get("prompt")),
        negative=text_of(record.get("negative_prompt")),
        seed=whole_of(record.get("seed")),
        steps=whole_of(record.get("steps")),
        guidance=number_of(record.get("guidance_scale")),
        width=width,
        height=height,
        sampler=text_of(record.get("sampler")),
        model=text_of(record.get("base_model")),
        remarks=("styles",) if record.get("styles") not in (None, "", "[]", []) else (),
    )


def _invoke(record: Mapping[str, Any]) -> Foreign:
    model = record.get("model")
    name = (model.get("name") or model.get("model_name")) if isinstance(model, dict) else model
    remarks = [words for key, words in _INVOKE_REMARKS.items() if record.get(key)]
    return Foreign(
        "InvokeAI",
        prompt=text_of(record.get("positive_prompt")),
        negative=text_of(record.get("negative_prompt")),
        seed=whole_of(record.get("seed")),
        steps=whole_of(record.get("steps")),
        guidance=number_of(record.get("cfg_scale")),
        width=whole_of(record.get("width")),
        height=whole_of(record.get("height")),
        sampler=text_of(record.get("scheduler")),
        model=text_of(name),
        remarks=tuple(remarks),
    )


_INVOKE_REMARKS = {
    "loras": "LoRAs",
    "controlnets": "ControlNets",
    "ipAdapters": "IP adapters",
    "init_image": "a first image",
}


def _old_invoke(record: Mapping[str, Any]) -> Foreign:
    """InvokeAI 2: an `image` whose prompt is a text or a list of weighted ones."""
    image = record.get("image")
    if not isinstance(image, dict):
        raise NotOurPicture("InvokeAI's record in this picture is damaged: it has no image.")
    prompt = image.get("prompt")
    if isinstance(prompt, list):
        texts = [text_of(part.get("prompt")) for part in prompt[:20] if isinstance(part, dict)]
        prompt = ", ".join(text for text in texts if text)
    # a [bracketed] part of the old prompts is negative
    negative = re.findall(r"\[([^\[\]]*)\]", text_of(prompt))
    return Foreign(
        "InvokeAI",
        prompt=text_of(" ".join(re.sub(r"\[[^\[\]]*\]", " ", text_of(prompt)).split())),
        negative=", ".join(negative),
        seed=whole_of(image.get("seed")),
        steps=whole_of(image.get("steps")),
        guidance=number_of(image.get("cfg_scale")),
        width=whole_of(image.get("width")),
        height=whole_of(image.get("height")),
        sampler=text_of(image.get("sampler")),
        model=text_of(record.get("model_weights")),
    )
