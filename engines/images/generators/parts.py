"""Which parts a model has and where each comes from, from its model_index.json and configurations alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines.images.embedded import ONE_STEP_FOLDER, WEIGHTS
from engines.images.generators.known import EMBEDDED, GeneratorMissing, recipe_of
from engines.images.reasons import looks_local

if TYPE_CHECKING:
    from torch import nn

SUPPORTED = ("StableDiffusionPipeline", "StableDiffusionXLPipeline", "PixArtAlphaPipeline", "FluxPipeline")
ENCODERS = ("text_encoder", "text_encoder_2")
NETWORKS = ("unet", "transformer")
NOT_NEEDED = "safety_checker"


@dataclass(frozen=True)
class Part:
    """One component of a pipeline: the library and class that read it, and its repository and subfolder."""

    library: str
    class_name: str
    repository: str
    subfolder: str


@dataclass(frozen=True)
class Parts:
    """A model's pipeline class and its components by name."""

    pipeline: str
    components: Mapping[str, Part]

    @property
    def network(self) -> str:
        """Name of the component that is called at each step."""
        return next(n for n in NETWORKS if n in self.components)


def parts_of(source: str, *, local_files_only: bool = False) -> Parts:
    """Parts of a known name, a hub id or a folder. Raises GeneratorMissing for a pipeline that is not supported and for
    a folder that lacks a part, OSError where there is no index."""
    if source in EMBEDDED:
        found = _index(str(WEIGHTS / "stack"), True)
        if source == "embedded-f":
            return found
        once = replace(found.components["unet"], subfolder=ONE_STEP_FOLDER)
        return Parts(found.pipeline, {**found.components, "unet": once})
    known = recipe_of(source)
    found = _index(known.repository if known else source, local_files_only)
    changes: dict[str, Part] = {}
    if known and known.vae:
        changes["vae"] = Part("diffusers", "AutoencoderKL", known.vae, "")
    if known and known.transformer:
        changes["transformer"] = Part(
            "diffusers", "PixArtTransformer2DModel", known.transformer, "transformer"
        )
    return _all_there(Parts(found.pipeline, {**found.components, **changes}))


def _all_there(parts: Parts) -> Parts:
    """The parts, where each of a folder on this machine is there. Raises GeneratorMissing.

    Without this look a library may ask the hub for the folder's name, or open a model without its tokenizer."""
    for name, part in parts.components.items():
        root = Path(part.repository).expanduser()
        if name != NOT_NEEDED and root.is_dir() and not (root / part.subfolder).is_dir():
            raise GeneratorMissing(
                f'"{part.repository}" has no folder {name}, which its model_index.json lists: copy the whole model.'
            )
    return parts


def _index(repository: str, local_files_only: bool) -> Parts:
    from diffusers import DiffusionPipeline

    index = DiffusionPipeline.load_config(repository, local_files_only=local_files_only)
    name = str(index.get("_class_name", ""))
    if name not in SUPPORTED:
        raise GeneratorMissing(
            f'"{repository}" is a {name or "folder without a pipeline"}, which is not supported; pipelines of these '
            f"classes are: {', '.join(SUPPORTED)}."
        )
    components = {
        key: Part(value[0], value[1], repository, key)
        for key, value in index.items()
        if isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(v, str) for v in value)
    }
    return Parts(name, components)


def config_of(part: Part, *, local_files_only: bool = False) -> dict[str, Any]:
    """The part's config.json. Raises OSError where there is none."""
    if looks_local(part.repository):
        folder = Path(part.repository).expanduser() / part.subfolder
        return dict(json.loads((folder / "config.json").read_text()))
    from huggingface_hub import hf_hub_download

    path = hf_hub_download(
        part.repository, "config.json", subfolder=part.subfolder or None, local_files_only=local_files_only
    )
    return dict(json.loads(Path(path).read_text()))


def build(part: Part, *, local_files_only: bool = False) -> nn.Module:
    """The part with random weights, of a class of diffusers or transformers and of nothing else.

    Raises GeneratorMissing for a class that they do not have."""
    import diffusers
    import transformers

    config = config_of(part, local_files_only=local_files_only)
    library = {"diffusers": diffusers, "transformers": transformers}.get(part.library)
    kind = getattr(library, part.class_name, None)
    if kind is None:
        raise GeneratorMissing(
            f"{part.subfolder or part.repository} is a {part.class_name} of {part.library}, which the installed "
            "libraries do not have."
        )
    if part.library == "transformers":
        module = kind(kind.config_class(**config))
        module.tie_weights()  # where a dry run skips the initialisation, this is skipped, too
        return module
    if part.class_name == "AutoencoderTiny":
        config.pop(
            "block_out_channels", None
        )  # the class registers it itself, and would note that it is there
    return kind.from_config(config)
