"""Colours: the one palette of the product, the registry of contenders, and how tokens become colours.

A figure never holds a colour of a scheme. It holds tokens ("@accent", "@ink", "@orange/0.15") that the page
replaces for the scheme at hand (ui/figures/figure.js) and `resolve` replaces for a static export, so that
one stored figure serves light and dark without a new request.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

Scheme = Literal["light", "dark"]

# Okabe-Ito without its blue. Each hue is moved in lightness only as far as it takes to keep every pair apart
# under simulated deuteranopia, protanopia and tritanopia; "-text" is the same hue with 4.5:1 on the paper.
SCHEMES: Mapping[Scheme, Mapping[str, str]] = {
    "light": {
        "accent": "#1f5fd0",
        "accent-2": "#7ea3e6",
        "ink": "#1d2127",
        "muted": "#5c6570",
        "grid": "#e3e6ea",
        "line": "#c3c9d1",
        "paper": "#ffffff",
        "hole": "#eceef1",
        "orange": "#e29300",
        "green": "#00875f",
        "vermilion": "#c24a05",
        "purple": "#bd6f9f",
        "sky": "#2b9fdc",
        "ochre": "#5c5100",
        "accent-text": "#1f5fd0",
        "accent-2-text": "#3f6cc0",
        "orange-text": "#8a5600",
        "green-text": "#00704f",
        "vermilion-text": "#a83a05",
        "purple-text": "#96467a",
        "sky-text": "#1b6c9c",
        "ochre-text": "#5c5100",
    },
    "dark": {
        "accent": "#6ea8ff",
        "accent-2": "#5585cc",
        "ink": "#e9ecf0",
        "muted": "#9aa4b0",
        "grid": "#2b313a",
        "line": "#47505c",
        "paper": "#161a20",
        "hole": "#2a3038",
        "orange": "#ffcf70",
        "green": "#1fae83",
        "vermilion": "#ee7a3c",
        "purple": "#cf86b0",
        "sky": "#9adcf7",
        "ochre": "#a8952a",
        "accent-text": "#6ea8ff",
        "accent-2-text": "#86aee8",
        "orange-text": "#ffcf70",
        "green-text": "#35c398",
        "vermilion-text": "#f4894f",
        "purple-text": "#d897bd",
        "sky-text": "#9adcf7",
        "ochre-text": "#bda93a",
    },
}

BASELINES: tuple[str, ...] = ("orange", "green", "vermilion", "purple", "sky", "ochre")

# The same baseline has the same colour in every engine. Names are compared in the form of `_plain`.
CONTENDERS: Mapping[str, str] = {
    # solvers of least squares and matrices
    "exact": "orange",
    "exact als": "orange",
    "exact am": "orange",
    "exact alternating minimisation": "orange",
    "exact alternating least squares": "orange",
    "exact solver": "orange",
    "softimpute": "green",
    "lmafit": "purple",
    "scaled gradient": "vermilion",
    "cmfrec": "ochre",
    "sketch per row": "vermilion",
    "mean fill": "sky",
    "mean": "sky",
    "svd fill": "ochre",
    # gradient methods
    "adam": "orange",
    "adamw": "orange",
    "gradient descent": "vermilion",
    "gd": "vermilion",
    "averaged gradient descent": "orange",
    "averaged gd": "orange",
    "agd": "orange",
    "agd, extrapolated": "purple",
    "sgd": "green",
    "sgd with momentum": "green",
    "muon": "purple",
    "adagrad": "ochre",
    # statistics
    "best linear": "green",
    "best linear estimator": "green",
    "linear": "green",
    "linear estimator": "green",
    "ridge": "green",
    "trivial": "sky",
    "prior mean": "sky",
    # unlearning
    "ga": "vermilion",
    "graddiff": "orange",
    "npo": "green",
    "kl": "purple",
    "idk": "sky",
    "simnpo": "ochre",
    "dpo": "sky",
    "wga": "vermilion",
    "rmu": "purple",
    # generation and search
    "best of n": "orange",
    "plain pruning": "green",
    "random search": "sky",
    "no change": "sky",
    "none": "sky",
}

_REFERENCE = re.compile(
    r"^(theory|truth|ground truth|true|teacher|target|reference|optimum|bound|state evolution|"
    r"bayes[- ]optimal|mmse|limit|2 ?[x×] ?theory)\b",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"^@([a-z0-9-]+)(?:/(0?\.\d+|1))?$")
_DASHES = (
    "solid",
    "dash",
    "dashdot",
    "longdash",
    "longdashdot",
    "3px,3px",
    "12px,3px",
    "6px,2px,2px,2px,2px,2px",
)

Role = Literal["method", "ablation", "baseline", "reference"]


@dataclass(frozen=True)
class Style:
    """How one contender is drawn: `colour` and `text` are tokens, `width` in px."""

    colour: str
    text: str
    width: float
    dash: str
    role: Role

    @property
    def z(self) -> int:
        """The method lies on top, references right under it, baselines below."""
        return {"method": 3, "ablation": 2, "reference": 1, "baseline": 0}[self.role]


def _plain(name: str) -> str:
    """Lower case, without what stands in brackets, so that "SoftImpute (rank 20)" is SoftImpute."""
    return re.sub(r"\s+", " ", re.sub(r"\([^)]*\)", "", name)).strip().lower()


def token_of(name: str) -> str:
    """The baseline colour of a contender: its entry in the registry, else one that depends on its name alone,
    hence the same in every engine, run and process."""
    plain = _plain(name)
    if plain in CONTENDERS:
        return CONTENDERS[plain]
    return BASELINES[zlib.crc32(plain.encode()) % len(BASELINES)]


def role_of(name: str, method: str = "") -> Role:
    """What a series is, from its name and the name of the paper's method: a name that starts with the
    method's is one of its ablations."""
    plain, of = _plain(name), _plain(method)
    if of and plain == of and name.strip().lower() == method.strip().lower():
        return "method"
    if _REFERENCE.match(plain):
        return "reference"
    if of and plain.startswith(of):
        return "ablation"
    return "baseline"


def style_of(name: str, method: str = "", role: Role | None = None) -> Style:
    """The style of one contender on its own."""
    role = role or role_of(name, method)
    if role == "method":
        return Style("@accent", "@accent-text", 2.5, "solid", role)
    if role == "ablation":
        return Style("@accent-2", "@accent-2-text", 2.0, "dash", role)
    if role == "reference":
        return Style("@ink", "@ink", 1.25, "dash", role)
    token = token_of(name)
    return Style(f"@{token}", f"@{token}-text", 1.5, "solid", role)


def styles_of(
    names: Iterable[str], method: str = "", roles: Mapping[str, Role] | None = None
) -> dict[str, Style]:
    """Styles of contenders that share a figure, in order of appearance. Two that would look alike differ in
    their dashes; the one that came first keeps its look, so nothing changes while a run goes on."""
    roles = roles or {}
    taken: dict[tuple[str, str], int] = {}
    chosen: dict[str, Style] = {}
    for name in names:
        style = style_of(name, method, roles.get(name))
        look = (style.colour, style.role)
        again = taken.get(look, 0)
        taken[look] = again + 1
        if again:
            first = _DASHES.index(style.dash) if style.dash in _DASHES else 0
            style = replace(style, dash=_DASHES[(first + again) % len(_DASHES)])
        chosen[name] = style
    return chosen


def colour(token: str, scheme: Scheme) -> str:
    """The colour of a token in a scheme; a string that is no token comes back as it is. Raises KeyError for an
    unknown token."""
    match = _TOKEN.match(token)
    if not match:
        return token
    value = SCHEMES[scheme][match.group(1)]
    if not match.group(2):
        return value
    red, green, blue = (int(value[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{match.group(2)})"


def resolve(value: Any, scheme: Scheme) -> Any:
    """A copy of a figure (or any part of it) in which every token is a colour of the scheme. `meta` is
    for the page, in words of engines and users: it stays as it is."""
    if isinstance(value, str):
        return colour(value, scheme) if value.startswith("@") else value
    if isinstance(value, Mapping):
        return {key: item if key == "meta" else resolve(item, scheme) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [resolve(item, scheme) for item in value]
    return value
