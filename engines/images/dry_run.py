"""How much memory one iteration takes, found by running it on tensors without storage, before any weight is read.

    footprint = measure("sd-turbo", ("clip", "pickscore"), batch=4, dtype=torch.float16, device="cuda", economy=...)
    require_fit(footprint, free_bytes("cuda"))

The models are built from their configurations as torch's fake tensors; the very code of a run (generator, decoder,
rewards, backward pass) goes over them, and each storage counts from its first use to its release. Workspaces inside
kernels are not seen: hence `FACTOR`."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from engines.images.footprint import CONTEXT, Footprint
from engines.images.generators.base import Conditioning, Generator, Level, Sampling
from engines.images.generators.skeleton import blank_conditioning, skeleton
from engines.images.memory import Economy, checkpoint_gradients, weights_bytes
from engines.images.reasons import first_line
from engines.images.rewards.base import Reward
from engines.images.rewards.clip import ClipReward
from engines.images.rewards.skeleton import blank_features, reward_skeleton


class NotMeasured(RuntimeError):
    """The dry run met an operation that fake tensors do not know; the run itself may go well."""


class Storages(TorchDispatchMode):
    """Bytes of the storages that operations returned and that are still alive, and their largest sum."""

    def __init__(self, *held: nn.Module) -> None:
        """`held` are modules whose weights are counted elsewhere: views of them are results, too."""
        super().__init__()
        self._seen: Any = WeakIdKeyDictionary()
        self.live = self.peak = 0
        for module in held:
            for tensor in [*module.parameters(), *module.buffers()]:
                self._seen[tensor.untyped_storage()] = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                self._add(leaf)
        return out

    def _add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage in self._seen:
            return
        number = storage.nbytes()
        self._seen[storage] = number
        self.live += number
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._drop, number)

    def _drop(self, number: int) -> None:
        self.live -= number


def measure(
    source: str,
    rewards: Sequence[str] = (),
    *,
    reward_sources: Sequence[str] = (),
    batch: int = 1,
    pictures: int = 0,
    decode_at_once: int = 0,
    score_at_once: int = 0,
    steps: int = 1,
    guidance: float = 1.0,
    gradients: bool = True,
    size: int = 0,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    economy: Economy | None = None,
    drops_text: bool = False,
    local_files_only: bool = False,
) -> Footprint:
    """The footprint of one iteration with `batch` pictures: with `gradients`, one call of the network, the decoder,
    the rewards and the backward pass to the noise, where `steps` > 1 keeps all steps in the graph; without, a stage of a
    search: one call for `batch` of `pictures` seeds (two prompts each with guidance above 1), then all of them decoded
    `decode_at_once` at a time, rounded to 8 bits and scored `score_at_once` at a time (0: all of them).

    Arguments are those of `load_generator` and `load_reward`. Takes seconds for the largest models and reads their
    configurations only. `drops_text` says that the run calls `drop_encoders` and `drop_text` once prompts are encoded.
    Raises GeneratorMissing, RewardMissing or NotMeasured."""
    economy = economy or Economy()
    sources = [*reward_sources, *[""] * (len(rewards) - len(reward_sources))]
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    generator, encoders = skeleton(
        source, mode, dtype=dtype, size=size, economy=economy, local_files_only=local_files_only
    )
    towers = [reward_skeleton(name, at, mode, dtype) for name, at in zip(rewards, sources, strict=True)]
    if economy.checkpointing:
        for module in (generator.network, decoder_of(generator), *(m for t in towers for m in t.towers)):
            checkpoint_gradients(module)
    held = [generator.network, decoder_of(generator), *(m for t in towers for m in t.modules)]
    storages = Storages(*held)
    number = pictures or batch
    try:
        with mode, storages:
            if gradients:
                _with_gradients(generator, towers, batch, steps)
            else:
                at_once = Portions(batch, decode_at_once or number, score_at_once or number)
                _without_gradients(generator, towers, number, at_once, guidance)
    except (RuntimeError, NotImplementedError) as error:
        raise NotMeasured(f"The memory of {source} could not be computed ({first_line(error)}).") from error
    weights, encoding = _weights(generator, towers, encoders, economy, drops_text=drops_text)
    leaves = economy.encoders_leave or drops_text
    return Footprint(
        weights=weights if leaves else weights | encoding,
        visiting=encoding if leaves else {},
        work=storages.peak,
        batch=batch,
        noise_shape=generator.noise_shape,
        fixed=CONTEXT if device.startswith("cuda") else 0,
        elements=by_dtype(*held, *encoders.values()),
    )


def _weights(
    generator: Any,
    towers: Sequence[Any],
    encoders: Mapping[str, nn.Module],
    economy: Economy,
    *,
    drops_text: bool,
) -> tuple[dict[str, int], dict[str, int]]:
    """Bytes of what is held all the time, and of what only encodes the prompt."""
    network = weights_bytes(generator.network)
    held = {
        "network": largest_block(generator.network) if economy.streaming else network,
        "decoder": weights_bytes(decoder_of(generator)),
    }
    held |= {t.name: weights_bytes(*t.modules) for t in towers}
    encoding = {name: weights_bytes(module) for name, module in encoders.items()}
    if drops_text:
        for tower in (t for t in towers if isinstance(t, ClipReward)):
            text = weights_bytes(tower.model.text_model, tower.model.text_projection)
            held[tower.name] -= text
            encoding[f"{tower.name}'s text"] = text
    return held, encoding


def decoder_of(generator: Any) -> nn.Module:
    """The module that decodes: the tiny one where there is one."""
    return generator.tiny if generator.tiny is not None else generator.vae


def by_dtype(*modules: nn.Module) -> dict[str, int]:
    """Bytes of the weights by dtype, largest first."""
    found: dict[str, int] = {}
    for module in modules:
        for tensor in module.parameters():
            key = str(tensor.dtype).removeprefix("torch.")
            found[key] = found.get(key, 0) + tensor.numel() * tensor.element_size()
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def largest_block(network: nn.Module) -> int:
    """Bytes of the largest member of the network's lists of blocks: what a streamed network has on the device at
    once when it is checkpointed block by block, and what lies outside the lists."""
    lists = [m for m in network.children() if isinstance(m, nn.ModuleList)]
    inside = sum(weights_bytes(m) for m in lists)
    return weights_bytes(network) - inside + max((weights_bytes(b) for m in lists for b in m), default=0)


def _with_gradients(generator: Generator, rewards: list[Reward], batch: int, steps: int) -> None:
    noise = torch.randn((batch, *generator.noise_shape), dtype=torch.float32).requires_grad_()
    conditioning = blank_conditioning(generator, batch)
    latents = generator.one_step(noise, conditioning)
    for _ in range(steps - 1):
        latents = generator.one_step(latents.to(noise.dtype), conditioning)
    pictures = generator.decode(latents, tiny=generator.tiny is not None)
    total = pictures.mean()
    for reward in rewards:
        total = total + reward.score(pictures, blank_features(reward, batch)).sum()
    total.backward()


@dataclass(frozen=True)
class Portions:
    """How many seeds one call of network, decoder and rewards takes."""

    network: int
    decoder: int
    rewards: int


@torch.no_grad()
def _without_gradients(
    generator: Generator, rewards: list[Reward], number: int, at_once: Portions, guidance: float
) -> None:
    noise = torch.randn((number, *generator.noise_shape), dtype=torch.float32)
    negative = blank_conditioning(generator, number) if generator.calls(guidance) > 1 else None
    told = Conditioning(blank_conditioning(generator, number).tensors, negative)
    levels = (Level(999.0, 14.6), Level(0.0, 0.0))  # which ones does not matter to the memory
    state = Sampling(noise.to(generator.dtype), told, guidance, levels)
    if at_once.network < number:
        rows = torch.arange(number).split(at_once.network)
        done = [generator.advance(state.take(some)) for some in rows]
        clean = torch.cat([one.clean for one in done if one.clean is not None])
    else:
        done = [generator.advance(state)]
        clean = done[0].clean  # type: ignore[assignment]
    is_tiny = generator.tiny is not None
    pictures = torch.cat([generator.decode(some, tiny=is_tiny) for some in clean.split(at_once.decoder)])
    pictures = (pictures * 255).round() / 255
    for reward in rewards:
        for some in pictures.split(at_once.rewards):
            reward.score(some, blank_features(reward, len(some)))
