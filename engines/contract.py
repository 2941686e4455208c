"""What an engine is: a paper, its parameters, and an experiment that speaks in events."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from engines.events import Command, Event, Table

FAMILIES: Mapping[str, str] = {
    "images": "Images",
    "language": "Language models",
    "optimizers": "Optimizers",
    "estimation": "Estimation",
    "training_data": "Training data",
    "decisions": "Decisions",
}
"""Family key (its folder in engines/) to the title of its tab, in the order of the tabs."""

Widget = Literal["auto", "slider", "number", "text", "lines", "choice", "choices", "switch", "file", "hidden"]


class Refusal(ValueError):
    """Bad input, in one sentence that names the field, the value, the rule and what to do.

    Raised by a params model's own validators, by `Engine.check`, and by experiments that find the uploaded
    data wrong."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field
        self.sentence = sentence


class Params(BaseModel):
    """Base of every engine's parameters. Bounds *are* the validation: the form, the command line, the API
    and Python all go through this model. Declare every field with `knob`."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Phrases:
    """Sentences that a text parameter understands: the form offers to build one from lists.

    `templates` hold slots in braces ("a {colour} {shape}"), `words` the choices of each slot. A slot "other colour" takes
    the words of "colour" but the one chosen for it in the same sentence."""

    templates: tuple[str, ...]
    words: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Use:
    """What a result file is good for that has an upload field's name: beside the field the link on the page sets `values`,
    and in the file's own engine it says `words`."""

    words: str
    values: Mapping[str, Any] = field(default_factory=dict)


def knob(
    default: Any,
    *,
    title: str,
    help: str,
    unit: str = "",
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    multiple_of: float | None = None,
    max_length: int | None = None,
    min_length: int | None = None,
    pattern: str | None = None,
    advanced: bool = False,
    group: str = "",
    widget: Widget = "auto",
    step: float | None = None,
    log: bool = False,
    labels: Mapping[str, str] | None = None,
    suggestions: tuple[str, ...] = (),
    phrases: Phrases | None = None,
    placeholder: str = "",
    demo_max: float | None = None,
    accept: tuple[str, ...] = (),
    use: Use | None = None,
    own_machine_only: bool = False,
    demo_allowed: tuple[str, ...] = (),
) -> Any:
    """Declare one parameter.

    `title` is its label, `help` one line with the range in words, `unit` what it is counted in. Every number
    needs bounds on both sides. `advanced` fields go into the accordion under the heading `group`. `labels`
    gives the words shown for the values of a `Literal`; `suggestions` the values offered beside free text, `phrases` what
    valid text is made of, `placeholder` what an empty box says;
    `log` a logarithmic slider; `demo_max` the ceiling on a hosted demo; `accept` the endings of an
    `Upload`, `use` what a run's own file of the field's name leads to; `own_machine_only` a field that can name code, a folder or a model of the hub: on a hosted demo it keeps
    its default or takes one of `demo_allowed` (whoever runs the demo can allow more).
    """
    extra: dict[str, Any] = {
        "unit": unit,
        "advanced": advanced,
        "group": group,
        "widget": widget,
        "step": step,
        "log": log,
        "labels": dict(labels or {}),
        "suggestions": list(suggestions),
        "placeholder": placeholder,
        "demo_max": demo_max,
        "accept": list(accept),
        "own_machine_only": own_machine_only,
        "demo_allowed": list(demo_allowed),
    }
    if use is not None:
        extra["use"] = {"words": use.words, "values": dict(use.values)}
    if phrases is not None:
        extra["phrases"] = {
            "templates": list(phrases.templates),
            "words": {slot: list(words) for slot, words in phrases.words.items()},
        }
    return Field(
        default,
        title=title,
        description=help,
        ge=ge,
        gt=gt,
        le=le,
        lt=lt,
        multiple_of=multiple_of,
        max_length=max_length,
        min_length=min_length,
        pattern=pattern,
        json_schema_extra=extra,
    )


Upload = Annotated[str, Field(pattern=r"^$|^sha256:[0-9a-f]{64}/[^/\\\x00]{1,200}$"), "upload"]
"""A file of the user's: empty, or `sha256:<hash>/<file name>` of a stored artifact. The form uploads it, the
command line takes `name=@path`; the experiment finds it as `context.inputs[<field name>]`."""


def upload_fields(model: type[Params]) -> tuple[str, ...]:
    """Names of the fields of `model` that are files."""
    return tuple(name for name, info in model.model_fields.items() if "upload" in info.metadata)


@dataclass(frozen=True)
class Paper:
    """What is known of the publication."""

    key: str
    title: str
    authors: tuple[str, ...]
    year: int
    family: str
    summary: str
    """The idea in one line, at most 140 characters."""
    short: str
    """A name for tabs and cards: "ReNO", "Matrix completion"."""
    venue: str = ""
    arxiv: str = ""
    code: str = ""
    """Address of the official code, empty where there is none."""


@dataclass(frozen=True)
class Claim:
    """A statement of the paper that the experiment checks by computation.

    `paper` is the paper's figure in words, None where none is published or confirmed."""

    key: str
    statement: str
    paper: str | None = None
    source: str = ""
    unit: str = ""


@dataclass(frozen=True)
class Preset:
    """A named setting: values that differ from the defaults. `smoke`, `default` and `paper` always exist."""

    title: str
    help: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """All that an experiment is given besides its parameters."""

    device: str
    """"cuda", "mps" or "cpu" (with an index where it matters)."""
    seed: int
    scratch: Path
    """An empty folder of this run's own, deleted after it."""
    inputs: Mapping[str, Path] = field(default_factory=dict)
    """Field name of each upload to a local, read-only copy."""


Run = Generator[Event, Command | None, None]


@dataclass(frozen=True)
class Inquiry:
    """A question that a reader may put to what a run has kept, also long after it and on another machine."""

    title: str
    help: str
    placeholder: str
    files: str
    """How the names of the result files begin that an answer needs; the reader may also have them deleted."""
    answer: Callable[[Sequence[Path], str], Table]
    """`answer(files, question)`: one row an answer. Called in a process of its own; raises `Refusal`."""
    max_length: int = 300


def _accept(params: Any, inputs: Mapping[str, Path]) -> None:
    """The check of engines that have nothing to check beyond their params model."""


@dataclass(frozen=True)
class Engine:
    """A paper made live."""

    paper: Paper
    params: type[Params]
    run: Callable[[Any, Context], Run]
    """`run(params, context)`: sets the problem up, drives the method and its baselines on one seed and
    budget, yields events, ends with one `ClaimCheck` for each claim that applies. Heavy imports happen in
    it. Bit for bit the same events for the same params and seed on one machine, timings excepted."""
    claims: tuple[Claim, ...]
    presets: Mapping[str, Preset]
    headline: tuple[str, str]
    """(series, name) of the number that stands for a run in lists."""
    about: Path
    """The engine's about.md."""
    check: Callable[[Any, Mapping[str, Path]], None] = _accept
    """`check(params, inputs)`: cheap checks of uploads, names and model references, made before a run is
    recorded; raises `Refusal`. Imports nothing heavy."""
    headline_label: str = ""
    lower_is_better: bool = True
    actions: Mapping[str, str] = field(default_factory=dict)
    """What a reader may ask of a run under way: the name of a `Command` of kind "do" to the words on its button."""
    inquiry: Inquiry | None = None
    reproduce: Mapping[str, Any] = field(default_factory=dict)
    """Values over the default preset for `workbench reproduce`, where claims need more than the default."""

    @property
    def key(self) -> str:
        """The paper's key: the name of the engine in addresses, records and on the command line."""
        return self.paper.key

    def preset(self, name: str) -> dict[str, Any]:
        """Values of a preset; raises `Refusal` for an unknown name."""
        if name not in self.presets:
            known = ", ".join(self.presets)
            raise Refusal("preset", f"preset must be one of {known}; got {name!r}.")
        return dict(self.presets[name].values)

    def claim(self, key: str) -> Claim:
        """The declared claim of that key; raises KeyError."""
        for claim in self.claims:
            if claim.key == key:
                return claim
        raise KeyError(key)
