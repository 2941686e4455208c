"""Pictures of other programs: their records as each documents them, hostile ones, and what a form takes."""

from __future__ import annotations

import io
import json
import struct
import time
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from engines.contract import Engine, Paper, Params, Preset, knob
from workbench import pngmetadata
from workbench.errors import NotOurPicture
from workbench.pngchunks import MAX_TEXT_BYTES
from workbench.pngforeign import MAX_PROMPT, Foreign, number_of, size_of, whole_of
from workbench.pngforms import MAX_SEED, best_engine, into_engine


def png(**texts: str) -> bytes:
    """A picture with text chunks as Pillow writes them, which all four programs use: tEXt, or iTXt where a
    character is not in Latin-1."""
    info = PngInfo()
    for keyword, text in texts.items():
        info.add_text(keyword.replace("_sd_", "sd-"), text)
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def picture(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + chunk(b"IEND", b"")


A1111 = (
    "a red circle, (detailed:1.2)\nsecond line: of the prompt\n"
    "Negative prompt: ugly, blurry\nlow quality\n"
    "Steps: 20, Sampler: Euler a, CFG scale: 7.5, Seed: 965400086, Size: 512x768, Model hash: 45dee52b, "
    'Model: dreamshaper_8, Lora hashes: "more: 1234, other: 5678", Denoising strength: 0.5, Version: v1.9.4'
)
FOOOCUS: dict[str, Any] = {
    "adm_guidance": "(1.5, 0.8, 0.3)",
    "base_model": "juggernautXL_v8Rundiffusion",
    "full_prompt": ["a red circle, cinematic", "more"],
    "guidance_scale": 4,
    "negative_prompt": "ugly",
    "prompt": "a red circle",
    "resolution": "(1152, 896)",
    "sampler": "dpmpp_2m_sde_gpu",
    "scheduler": "karras",
    "seed": "7127438292893",
    "steps": 30,
    "styles": "['Fooocus V2']",
    "version": "Fooocus v2.5.5",
}
INVOKE: dict[str, Any] = {
    "generation_mode": "sdxl_txt2img",
    "positive_prompt": "a red circle",
    "negative_prompt": "ugly",
    "width": 1024,
    "height": 1024,
    "seed": 2914398612,
    "cfg_scale": 5.5,
    "steps": 30,
    "scheduler": "dpmpp_2m_k",
    "model": {"key": "5f", "hash": "blake3:1", "name": "Juggernaut XL", "base": "sdxl", "type": "main"},
    "loras": [{"model": {"name": "x"}, "weight": 1}],
    "app_version": "5.4.2",
}
OLD_INVOKE: dict[str, Any] = {
    "model": "stable diffusion",
    "model_weights": "stable-diffusion-1.5",
    "app_version": "2.2.4",
    "image": {
        "prompt": [{"prompt": "a red circle [ugly] on blue", "weight": 1.0}],
        "steps": 50,
        "cfg_scale": 7.5,
        "width": 512,
        "height": 512,
        "seed": 123,
        "sampler": "k_lms",
    },
}
COMFY: dict[str, Any] = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 156680208700286,
            "steps": 20,
            "cfg": 8.0,
            "sampler_name": "euler",
            "scheduler": "normal",
            "denoise": 1.0,
            "model": ["4", 0],
            "positive": ["6", 0],
            "negative": ["7", 0],
            "latent_image": ["5", 0],
        },
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "v1-5-pruned.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 512, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a red circle", "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "ugly", "clip": ["4", 1]}},
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {
        "class_type": "SaveImage",
        "inputs": {"filename_prefix": "x", "images": ["8", 0]},
        "is_changed": [0],
    },
}
FLUX: dict[str, Any] = {
    "13": {
        "class_type": "SamplerCustomAdvanced",
        "inputs": {
            "noise": ["25", 0],
            "guider": ["22", 0],
            "sampler": ["16", 0],
            "sigmas": ["17", 0],
            "latent_image": ["27", 0],
        },
    },
    "25": {"class_type": "RandomNoise", "inputs": {"noise_seed": 219670278747233}},
    "22": {"class_type": "BasicGuider", "inputs": {"model": ["12", 0], "conditioning": ["26", 0]}},
    "26": {"class_type": "FluxGuidance", "inputs": {"guidance": 3.5, "conditioning": ["6", 0]}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": ["40", 0], "clip": ["11", 0]}},
    "40": {"class_type": "PrimitiveString", "inputs": {"value": "a red circle"}},
    "11": {"class_type": "DualCLIPLoader", "inputs": {"clip_name1": "t5", "type": "flux"}},
    "12": {"class_type": "UNETLoader", "inputs": {"unet_name": "flux1-dev.safetensors"}},
    "17": {"class_type": "BasicScheduler", "inputs": {"scheduler": "simple", "steps": 4, "model": ["12", 0]}},
    "16": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "euler"}},
    "27": {"class_type": "EmptySD3LatentImage", "inputs": {"width": 1024, "height": 768, "batch_size": 1}},
}


def read(**texts: str) -> Foreign:
    found = pngmetadata.read(png(**texts))
    assert found is not None
    return found


def test_a1111() -> None:
    assert read(parameters=A1111) == Foreign(
        "A1111",
        prompt="a red circle, (detailed:1.2)\nsecond line: of the prompt",
        negative="ugly, blurry\nlow quality",
        seed=965400086,
        steps=20,
        guidance=7.5,
        width=512,
        height=768,
        sampler="Euler a",
        model="dreamshaper_8",
        remarks=("Denoising strength",),
    )


def test_a1111_without_a_line_of_pairs_or_a_negative_prompt() -> None:
    assert read(parameters="näive prompt ∞\nwith: one pair") == Foreign(
        "A1111", prompt="näive prompt ∞\nwith: one pair"
    )
    short = read(parameters="a red circle\nSteps: 1, Seed: 0, CFG scale: 1")
    assert (short.prompt, short.negative, short.steps, short.seed) == ("a red circle", "", 1, 0)


def test_fooocus_in_both_schemes() -> None:
    expected = Foreign(
        "Fooocus",
        prompt="a red circle",
        negative="ugly",
        seed=7127438292893,
        steps=30,
        guidance=4.0,
        width=1152,
        height=896,
        sampler="dpmpp_2m_sde_gpu",
        model="juggernautXL_v8Rundiffusion",
        remarks=("styles",),
    )
    assert read(parameters=json.dumps(FOOOCUS), fooocus_scheme="fooocus") == expected
    assert read(parameters=json.dumps(FOOOCUS)) == expected
    text = (
        "a red circle, cinematic\nNegative prompt: ugly, anime\nSteps: 30, Sampler: DPM++ 2M SDE Karras, Seed: 12, "
        'Size: 1152x896, CFG scale: 4, Sharpness: 2, Raw prompt: "a red\\ncircle, small", Raw negative prompt: ugly'
    )
    plain = read(parameters=text, fooocus_scheme="a1111")
    assert (plain.tool, plain.prompt, plain.negative) == ("Fooocus", "a red\ncircle, small", "ugly")
    assert (plain.seed, plain.width, plain.height) == (12, 1152, 896)


def test_invokeai() -> None:
    assert read(invokeai_metadata=json.dumps(INVOKE), invokeai_graph="{}") == Foreign(
        "InvokeAI",
        prompt="a red circle",
        negative="ugly",
        seed=2914398612,
        steps=30,
        guidance=5.5,
        width=1024,
        height=1024,
        sampler="dpmpp_2m_k",
        model="Juggernaut XL",
        remarks=("LoRAs",),
    )


def test_invokeai_before_version_3() -> None:
    old = read(_sd_metadata=json.dumps(OLD_INVOKE), Dream='"a red circle" -s 50')
    assert (old.prompt, old.negative) == ("a red circle on blue", "ugly")
    assert (old.seed, old.steps, old.guidance, old.sampler) == (123, 50, 7.5, "k_lms")
    plain = {**OLD_INVOKE, "image": {**OLD_INVOKE["image"], "prompt": "a red circle"}}
    assert read(_sd_metadata=json.dumps(plain)).prompt == "a red circle"


def test_comfyui() -> None:
    assert read(prompt=json.dumps(COMFY), workflow="{}") == Foreign(
        "ComfyUI",
        prompt="a red circle",
        negative="ugly",
        seed=156680208700286,
        steps=20,
        guidance=8.0,
        width=512,
        height=512,
        sampler="euler",
        model="v1-5-pruned.safetensors",
    )


def test_comfyui_with_a_sampler_in_parts() -> None:
    found = read(prompt=json.dumps(FLUX).replace('"simple"', "NaN"))  # ComfyUI writes bare NaN
    assert (found.prompt, found.negative) == ("a red circle", "")
    assert (found.seed, found.steps, found.guidance) == (219670278747233, 4, 3.5)
    assert (found.width, found.height, found.model) == (1024, 768, "flux1-dev.safetensors")


def test_comfyui_with_a_second_pass_and_a_linked_seed() -> None:
    graph = json.loads(json.dumps(COMFY))
    second = json.loads(json.dumps(COMFY["3"]))
    second["inputs"] |= {"latent_image": ["20", 0], "seed": 1, "steps": 99}
    graph["3"]["inputs"]["seed"] = ["30", 0]
    graph = {
        "2": second,
        "20": {"class_type": "VAEEncode", "inputs": {"pixels": ["21", 0]}},
        "30": {"class_type": "PrimitiveInt", "inputs": {"value": 77}},
        "31": {"class_type": "LoraLoader", "inputs": {}},
        **graph,
    }
    found = read(prompt=json.dumps(graph))
    assert (found.seed, found.steps) == (77, 20)
    assert found.remarks == ("1 more sampler", "LoRAs")


def test_pictures_without_any_record() -> None:
    assert pngmetadata.read(png()) is None
    assert pngmetadata.read(png(Title="holiday")) is None


CYCLE = {
    **COMFY,
    "6": {"class_type": "ConditioningCombine", "inputs": {"conditioning_1": ["6", 0], "text": ["7", 0]}},
    "7": {"class_type": "Loop", "inputs": {"text": ["6", 0]}},
}
BROKEN = {
    "not a PNG": b"GIF89a",
    "invoke json": png(invokeai_metadata="{"),
    "invoke list": png(invokeai_metadata="[1]"),
    "old invoke": png(_sd_metadata='{"image": 3}'),
    "comfy json": png(prompt="{'a': 1}"),
    "comfy deep": png(prompt="[" * 200_000),
    "comfy empty": png(prompt="{}"),
    "comfy strange": png(
        prompt=json.dumps({"1": 2, "3": {"class_type": 5}, "4": {"class_type": "KSampler"}})
    ),
    "comfy huge": png(prompt=json.dumps({str(k): {} for k in range(6000)})),
    "a1111 empty": png(parameters="  "),
    "checksum": png(parameters="abcdefgh").replace(b"abcdefgh", b"abcdefgi"),
    "cut iTXt": picture(chunk(b"iTXt", b"parameters\0\0\0x")),
    "not packed": picture(chunk(b"iTXt", b"parameters\0\1\0\0\0nozlib")),
    "bomb": picture(chunk(b"zTXt", b"parameters\0\0" + zlib.compress(b"a" * (MAX_TEXT_BYTES + 10), 9))),
    "large": picture(chunk(b"tEXt", b"parameters\0" + b"a" * (MAX_TEXT_BYTES + 1))),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_damaged_records_are_refused_in_one_sentence(data: bytes) -> None:
    with pytest.raises(NotOurPicture) as caught:
        pngmetadata.read(data)
    assert caught.value.sentence.endswith(".")
    assert len(caught.value.sentence) < 200


def test_hostile_values_are_left_out_and_cost_no_time() -> None:
    started = time.process_time()
    assert read(prompt=json.dumps(CYCLE)).prompt == ""
    wild = {
        **INVOKE,
        "seed": True,
        "steps": 1e400,
        "cfg_scale": "1e999",
        "width": {},
        "positive_prompt": ["x"],
    }
    found = read(invokeai_metadata=json.dumps(wild).replace("Infinity", "1e400"))
    assert (found.seed, found.steps, found.guidance, found.width, found.prompt) == (None,) * 4 + ("",)
    long = read(invokeai_metadata=json.dumps({**INVOKE, "positive_prompt": "é\0" * 50_000}))
    assert len(long.prompt) == MAX_PROMPT
    assert "\0" not in long.prompt
    for text in ("a: " * 300_000, '"' * 1_000_000, "Steps: 1" + " " * 1_000_000, "\n" * 1_000_000 + "x"):
        pngmetadata.read(png(parameters=text))
    pngmetadata.read(png(_sd_metadata=json.dumps({"image": {"prompt": "[" * 1_000_000}})))
    chain = {str(k): {"class_type": "N", "inputs": {"positive": [str(k + 1), 0]}} for k in range(4000)}
    pngmetadata.read(png(prompt=json.dumps({**chain, "s": {**COMFY["3"]}})))
    assert time.process_time() - started < 20, "nothing here is quadratic in the size of the file"


def test_values_of_strangers() -> None:
    assert [whole_of(v) for v in (3, 3.0, "3", " -3 ", 3.5, True, "3x", "9" * 21, 10**30, None)] == [
        3, 3, 3, -3, None, None, None, None, None, None,
    ]  # fmt: skip
    assert [number_of(v) for v in (3, "3.5", "nan", "inf", True, 1e12, "x")] == [
        3.0, 3.5, None, None, None, None, None,
    ]  # fmt: skip
    assert size_of("512x768") == size_of("(512, 768)") == size_of("512×768") == (512, 768)
    assert size_of("512") == size_of(5) == (None, None)


class Form(Params):
    """As an image engine declares it."""

    prompt: str = knob("a", title="Prompt", help="Text.", max_length=40)
    steps: int = knob(20, title="Steps", help="1 to 50.", ge=1, le=50)
    guidance: float = knob(3.0, title="Guidance", help="1 to 20.", ge=1, le=20)
    model: Literal["a", "b"] = knob("a", title="Model", help="One.")


class Sized(Form):
    """With a size."""

    size: int = knob(512, title="Size", help="64 to 1024.", ge=64, le=1024)


def engine(form: type[Params], key: str = "toy", family: str = "images") -> Engine:
    paper = Paper(key, "Toy", (), 2024, family, "A toy.", "Toy")
    presets = {name: Preset(name, name) for name in ("smoke", "default", "paper")}
    return Engine(paper, form, lambda p, c: iter(()), (), presets, ("a", "b"), Path("about.md"))  # type: ignore[arg-type, return-value]


FOUND = Foreign("A1111", "a red circle", "ugly", 7, 20, 7.5, 512, 512, "Euler", "dreamshaper")


def test_lines_of_extensions_behind_the_settings_do_not_hide_them() -> None:
    template = "Template: a {red|blue} circle, Steps: many\nNegative Template: ugly, bad, worse: no"
    found = pngmetadata.read(png(parameters=f"{A1111}\n{template}"))
    plain = pngmetadata.read(png(parameters=A1111))
    assert found == plain
    assert found is not None
    assert (found.seed, found.steps) == (965400086, 20)


def test_a_form_takes_what_it_declares() -> None:
    taken = into_engine(engine(Sized), FOUND)
    assert taken.values == {"prompt": "a red circle", "steps": 20, "guidance": 7.5, "size": 512}
    assert taken.seed == 7
    said = " ".join(taken.sentences("A1111", "Toy"))
    assert 'into Toy: the prompt "a red circle", 20 steps, guidance 7.5, size 512x512, seed 7.' in said
    assert "Not taken: the negative prompt (Toy has no such setting); the model dreamshaper" in said
    assert "the sampler Euler" in said
    assert "the same seed means other noise" in said


def test_each_value_is_checked_by_its_own_rule() -> None:
    found = Foreign("A1111", "x" * 50, seed=MAX_SEED + 1, steps=150, guidance=0.5, width=512, height=768)
    taken = into_engine(engine(Sized), found)
    assert (taken.values, taken.seed) == ({}, 0)
    left = "; ".join(taken.left)
    assert "150 steps (steps must be a whole number from 1 to 50; got 150)" in left
    assert "guidance 0.5 (guidance must be a number from 1 to 20; got 0.5)" in left
    assert "size 512x768 (Toy draws squares)" in left
    assert taken.taken == (
        f"seed 0 (what remains of {MAX_SEED + 1} after division by 2^32, the range of seeds here)",
    )
    random = into_engine(engine(Form), Foreign("A1111", "x", seed=-1))
    assert random.seed is None
    assert "seed -1 (a seed is a whole number from 0 here)" in random.left
    assert (
        into_engine(engine(Form), Foreign("ComfyUI", "x", seed=156680208700286)).seed
        == 156680208700286 % 2**32
    )
    assert "at most 40 characters" in left
    assert into_engine(engine(Form), FOUND).values == {"prompt": "a red circle", "steps": 20, "guidance": 7.5}


def test_the_image_engine_that_takes_most_is_chosen() -> None:
    engines = {"a": engine(Form, "a"), "b": engine(Sized, "b"), "c": engine(Sized, "c", "language")}
    assert best_engine(engines, FOUND).engine == "b"
    assert best_engine({"a": engine(Form, "a"), "z": engine(Form, "z")}, FOUND).engine == "a"
    assert best_engine(engines, FOUND, "a").engine == "a", "the tab on which it was dropped"
    assert best_engine(engines, FOUND, "c").engine == "b", "an engine that draws nothing cannot have it"
    with pytest.raises(NotOurPicture, match="no engine here makes pictures"):
        best_engine({"c": engines["c"]}, FOUND)
