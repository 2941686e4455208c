"""Noise-aware weights as a file: safetensors, with what they belong to in the header. A noise-aware reward knows one
sampler, one decoder and one reward; with others it is refused."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines.contract import Refusal

if TYPE_CHECKING:
    import torch

    from engines.images.generators.base import Generator
    from engines.images.rewards.base import Reward
    from engines.images.ttsnap.method.noise_aware import NoiseAware

ACCEPT = (".safetensors",)
FIELD = "weights"
SHIPPED = Path(__file__).parents[1] / "weights" / "noise_aware"
MOST_HEADER = 1_000_000
_SAMPLE = 64


def shipped(reward: str) -> Path:
    """The file that comes with the package for an embedded reward."""
    return SHIPPED / f"{reward}.safetensors"


def fingerprint(generator: Generator, reward: Reward, *, steps: int, guidance: float) -> str:
    """A digest of the noise levels, the guidance, and of samples of every weight of network, decoder (the one that decodes
    estimates) and reward."""
    import torch

    digest = hashlib.sha256()
    levels = getattr(generator, "levels", lambda _: ())(steps)
    digest.update(json.dumps([[round(v.time, 3), round(v.sigma, 4)] for v in levels]).encode())
    digest.update(f"{guidance:g}".encode())
    parts = [
        getattr(generator, "network", None),
        getattr(generator, "tiny", None) or getattr(generator, "vae", None),
        getattr(reward, "model", None),
    ]
    for module in parts:
        if isinstance(module, torch.nn.Module):
            for name, value in sorted(module.state_dict().items()):
                digest.update(f"{name}{tuple(value.shape)}".encode())
                digest.update(value.flatten()[:_SAMPLE].float().cpu().numpy().tobytes())
    return digest.hexdigest()[:32]


def about_of(
    generator: Generator,
    reward: Reward,
    *,
    name: str,
    model: str,
    steps: int,
    guidance: float,
    decoder: str = "full",
) -> dict[str, Any]:
    """What weights belong to, for the header; `decoder` is "full", or the reference of a tiny one."""
    digest = fingerprint(generator, reward, steps=steps, guidance=guidance)
    return {
        "model": model,
        "steps": steps,
        "guidance": guidance,
        "reward": name,
        "decoder": decoder,
        "fingerprint": digest,
    }


def write(path: Path, pupil: NoiseAware, about: Mapping[str, Any], *, half: bool = False) -> Path:
    """Write the trained weights of a pupil, and answer the path. What equals the plain reward bit for bit is left out
    (the text side of rewards in CLIP's shape); `half` stores float16."""
    import torch
    from safetensors.torch import save_file

    plain = {k: v.float().cpu() for k, v in pupil.reward.model.state_dict().items()}  # type: ignore[attr-defined]
    tensors: dict[str, torch.Tensor] = {}
    for name, value in pupil.tensors().items():
        key = name.partition(".")[2]
        found = value.float().cpu()
        if not value.is_floating_point() or (key in plain and torch.equal(plain[key], found)):
            continue
        tensors[name] = (found.half() if half else found).contiguous().clone()
    header = {**about, "form": pupil.form, "levels": pupil.levels, "trained": sorted(pupil.weights)}
    save_file(tensors, path, metadata={"format": "pt", "noise_aware": json.dumps(header, sort_keys=True)})
    return path


def read_about(path: Path, field: str = FIELD) -> dict[str, Any]:
    """The header of a file, without loading it. Raises Refusal for any other file."""
    try:
        with open(path, "rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            if size > MOST_HEADER:
                raise ValueError("header")
            about = json.loads(json.loads(file.read(size))["__metadata__"]["noise_aware"])
        for key in ("model", "steps", "guidance", "reward", "fingerprint", "form", "levels", "trained"):
            about[key]
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        raise Refusal(
            field,
            f"{field}: {path.name!r} is no file of noise-aware weights. Upload the safetensors file that the training "
            "experiment wrote.",
        ) from error
    return dict(about)


def check_settings(
    about: Mapping[str, Any],
    model: str,
    steps: int,
    guidance: float,
    rewards: Sequence[str],
    decoder: str = "full",
    field: str = FIELD,
) -> None:
    """Refuse weights of another sampler, decoder or reward by what their header says; the fingerprint is compared when the models
    are loaded (`check_fingerprint`)."""
    pairs: Iterable[tuple[str, Any, Any]] = (
        ("model", about["model"], model),
        ("steps", about["steps"], steps),
        ("guidance", float(about["guidance"]), float(guidance)),
    )
    for name, trained, asked in pairs:
        if trained != asked:
            raise Refusal(
                field,
                f"{field} were trained with {name} {trained}, and {name} is {asked}. Set {name} to {trained}, or train anew.",
            )
    trained_on = str(about.get("decoder", "full"))
    if trained_on != decoder:
        seen, now = (
            "the full decoder" if d == "full" else f"the tiny decoder {d[:80]}" for d in (trained_on, decoder)
        )
        raise Refusal(
            field,
            f"{field} were trained on pictures of {seen}, and estimates here are of {now}. "
            f"{'Empty tiny_decoder' if trained_on == 'full' else f'Set tiny_decoder to {trained_on[:80]}'}, or train anew.",
        )
    if list(rewards) != [about["reward"]]:
        raise Refusal(
            field,
            f"{field} predict the reward {about['reward']}, and rewards is {', '.join(rewards)}. Set rewards to "
            f"{about['reward']}.",
        )


def check_fingerprint(about: Mapping[str, Any], digest: str, field: str = FIELD) -> None:
    """Refuse weights whose sampler, decoder or reward had other numbers than those loaded."""
    if about["fingerprint"] != digest:
        raise Refusal(
            field,
            f"{field} belong to another sampler, decoder or reward of the same names (fingerprint "
            f"{str(about['fingerprint'])[:8]}, here {digest[:8]}). Train anew with the models at hand.",
        )


def read(path: Path, reward: Reward, field: str = FIELD) -> NoiseAware:
    """The noise-aware reward of a file on top of the plain one, float32, frozen. Raises Refusal where it does not fit."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from engines.images.ttsnap.method.noise_aware import NoiseAware

    about = read_about(path, field)
    pupil = NoiseAware(reward, int(about["levels"]), about["form"])
    plain = {k: v.detach().clone() for k, v in reward.model.state_dict().items()}  # type: ignore[attr-defined]
    try:
        stored = {k: v.float() for k, v in load_file(path).items()}
        if pupil.form == "conditioned":
            full = {f"model.{k}": v for k, v in plain.items()} | stored
        else:
            full = {f"{level}.{k}": v for level in about["trained"] for k, v in plain.items()} | stored
        pupil.restore(full)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise Refusal(
            field, f"{field}: {path.name!r} does not fit the reward ({str(error)[:120]})."
        ) from error
    pupil.requires_grad_(False)
    return pupil
