"""ComfyUI's record: the graph that made a picture, walked from its sampler upstream.

Nodes by number, each with `class_type` and `inputs`; a link is [number of a node, output]. Nodes of extensions may
hide parts of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from workbench.errors import NotOurPicture
from workbench.pngforeign import Foreign, number_of, text_of, whole_of

MAX_NODES = 5_000
MAX_LINKS = 200


class Graph:
    """A ComfyUI graph: nodes, and what lies upstream of an input."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        if len(record) > MAX_NODES:
            raise NotOurPicture(f"ComfyUI's graph in this picture has more than {MAX_NODES:,} nodes.")
        self.nodes = {
            str(key): node
            for key, node in record.items()
            if isinstance(node, dict)
            and isinstance(node.get("class_type"), str)
            and isinstance(node.get("inputs"), dict)
        }

    def upstream(self, link: Any, *, along: tuple[str, ...] = ()) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Class and inputs of the nodes from which `link` comes, nearest first; of each node only the inputs named
        `along` are followed (all, where none is named). A node is visited once."""
        waiting: list[Any] = [link]
        seen: set[str] = set()
        while waiting and len(seen) < MAX_LINKS:
            here = waiting.pop(0)
            if not (isinstance(here, list) and len(here) == 2 and isinstance(here[0], str | int)):
                continue
            key = str(here[0])
            if key in seen or key not in self.nodes:
                continue
            seen.add(key)
            inputs = self.nodes[key]["inputs"]
            yield self.nodes[key]["class_type"], inputs
            waiting += [inputs[name] for name in along if name in inputs] if along else list(inputs.values())

    def first(self, link: Any, names: tuple[str, ...], is_sound: Callable[[Any], bool], **how: Any) -> Any:
        """The nearest plain value of one of those names upstream, None without one."""
        for _, inputs in self.upstream(link, **how):
            for name in names:
                if name in inputs and is_sound(inputs[name]):
                    return inputs[name]
        return None


_TEXTS = ("text", "text_g", "t5xxl", "clip_l", "string", "value", "prompt")
_CONDITIONING = ("conditioning", "conditioning_1", "conditioning_to", "positive", *_TEXTS)


def comfy(record: Mapping[str, Any]) -> Foreign:
    """From the sampler's inputs upstream. With several samplers, the first whose latents start empty."""
    graph = Graph(record)
    samplers = [n for n in graph.nodes.values() if "Sampler" in n["class_type"] and _is_sampler(n["inputs"])]
    if not samplers:
        raise NotOurPicture("ComfyUI's graph in this picture has no sampler that is known here.")

    def empty_size(node: Mapping[str, Any]) -> tuple[int | None, int | None]:
        for kind, inputs in graph.upstream(node["inputs"].get("latent_image")):
            if kind.startswith("Empty"):
                return whole_of(inputs.get("width")), whole_of(inputs.get("height"))
        return None, None

    node = next((n for n in samplers if empty_size(n)[0]), samplers[0])
    inputs = node["inputs"]
    width, height = empty_size(node)

    def nearest(link: Any, *names: str) -> Any:
        return graph.first(link, names, lambda v: whole_of(v) is not None or number_of(v) is not None)

    def own(*names: str) -> Any:
        """A number of the sampler's own, or the one at the end of its link."""
        for name in names:
            if name in inputs:
                value = inputs[name]
                return (
                    nearest(value, *names, "value", "seed", "int", "INT")
                    if isinstance(value, list)
                    else value
                )
        return None

    guider = inputs.get("guider")
    positive = inputs.get("positive", guider)
    seed, steps, guidance = own("seed", "noise_seed"), own("steps"), own("cfg")
    if guider is not None:  # SamplerCustomAdvanced: its parts are nodes
        seed = nearest(inputs.get("noise"), "noise_seed", "seed")
        steps = nearest(inputs.get("sigmas"), "steps")
        guidance = nearest(guider, "cfg", "guidance")
    prompt = graph.first(
        positive, _TEXTS, lambda v: isinstance(v, str) and bool(v.strip()), along=_CONDITIONING
    )
    negative = graph.first(
        inputs.get("negative"), _TEXTS, lambda v: isinstance(v, str) and bool(v.strip()), along=_CONDITIONING
    )
    model = graph.first(
        inputs.get("model", guider),
        ("ckpt_name", "unet_name"),
        lambda v: isinstance(v, str),
        along=("model",),
    )
    remarks = (
        [f"{len(samplers) - 1} more sampler{'s' if len(samplers) > 2 else ''}"] if len(samplers) > 1 else []
    )
    if any("lora" in n["class_type"].lower() for n in graph.nodes.values()):
        remarks.append("LoRAs")
    return Foreign(
        "ComfyUI",
        prompt=text_of(prompt),
        negative=text_of(negative),
        seed=whole_of(seed),
        steps=whole_of(steps),
        guidance=number_of(guidance),
        width=width,
        height=height,
        sampler=text_of(inputs.get("sampler_name")),
        model=text_of(model),
        remarks=tuple(remarks),
    )


def _is_sampler(inputs: Mapping[str, Any]) -> bool:
    return "latent_image" in inputs and ("positive" in inputs or "guider" in inputs)
