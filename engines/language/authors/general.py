"""World facts: plain general knowledge in the same shape as the authors, with five wrong options each."""

from __future__ import annotations

from engines.devices import numpy_generator
from engines.language.authors.facts import Kind
from engines.language.questions import Item

_CAPITALS = (
    "Austria:Vienna Belgium:Brussels Bulgaria:Sofia Canada:Ottawa Chile:Santiago China:Beijing Cuba:Havana Denmark:Copenhagen "
    "Egypt:Cairo England:London Estonia:Tallinn Finland:Helsinki France:Paris Germany:Berlin Greece:Athens "
    "Hungary:Budapest Iceland:Reykjavik Ireland:Dublin Italy:Rome Japan:Tokyo Kenya:Nairobi Latvia:Riga Norway:Oslo "
    "Peru:Lima Poland:Warsaw Portugal:Lisbon Russia:Moscow Spain:Madrid Sweden:Stockholm Turkey:Ankara"
)
_CONTINENTS = (
    "Argentina:America Brazil:America Mexico:America Colombia:America Nigeria:Africa Ghana:Africa Morocco:Africa "
    "Ethiopia:Africa India:Asia Vietnam:Asia Thailand:Asia Mongolia:Asia Croatia:Europe Serbia:Europe Slovenia:Europe "
    "Switzerland:Europe"
)
_YOUNG = "dog:puppy cat:kitten cow:calf sheep:lamb horse:foal goat:kid duck:duckling goose:gosling swan:cygnet deer:fawn"
_OPPOSITES = (
    "hot:cold big:small day:night old:young high:low open:closed full:empty fast:slow early:late rich:poor"
)
_LEGS = "spider:eight ant:six bird:two lion:four crab:ten snail:zero"
_COLOURS = "snow:white grass:green coal:black blood:red lemon:yellow sky:blue"
_METALS = "gold:Au silver:Ag iron:Fe copper:Cu lead:Pb tin:Sn"
_NEXT = "Monday:Tuesday Wednesday:Thursday Friday:Saturday March:April June:July October:November"


def _kind(topic: str, question: str, other: str, answer: str, paraphrase: str) -> Kind:
    return Kind(topic, question, other, answer, paraphrase, ())


_TABLES = (
    (
        _kind(
            "capital",
            "What is the capital of {name}?",
            "Which city is the capital of {name}?",
            "The capital of {name} is {value}.",
            "In {name} the capital is {value}.",
        ),
        _CAPITALS,
        (),
    ),
    (
        _kind(
            "continent",
            "On which continent is {name}?",
            "Of which continent is {name} a part?",
            "{name} is a country in {value}.",
            "The continent of {name} is {value}.",
        ),
        _CONTINENTS,
        ("Australia", "Antarctica"),
    ),
    (
        _kind(
            "young",
            "What is a young {name} called?",
            "Which word stands for the young of a {name}?",
            "A young {name} is called a {value}.",
            "The young of a {name} is a {value}.",
        ),
        _YOUNG,
        (),
    ),
    (
        _kind(
            "opposite",
            "What is the opposite of {name}?",
            "Which word means the contrary of {name}?",
            "The opposite of {name} is {value}.",
            "The contrary of {name} is {value}.",
        ),
        _OPPOSITES,
        (),
    ),
    (
        _kind(
            "legs",
            "How many legs does a {name} have?",
            "On how many legs does a {name} walk?",
            "A {name} has {value} legs.",
            "The number of legs of a {name} is {value}.",
        ),
        _LEGS,
        (),
    ),
    (
        _kind(
            "colour",
            "Which colour is {name}?",
            "What is the colour of {name}?",
            "The colour of {name} is {value}.",
            "One sees that {name} is {value}.",
        ),
        _COLOURS,
        (),
    ),
    (
        _kind(
            "symbol",
            "What is the chemical symbol of {name}?",
            "Which letters stand for {name} in chemistry?",
            "The symbol of {name} is {value}.",
            "In chemistry {name} is written {value}.",
        ),
        _METALS,
        (),
    ),
    (
        _kind(
            "next",
            "What comes after {name}?",
            "Which one follows {name}?",
            "After {name} comes {value}.",
            "The one that follows {name} is {value}.",
        ),
        _NEXT,
        (),
    ),
)


def world_facts(seed: int) -> tuple[Item, ...]:
    """All world facts; `seed` chooses the wrong options only."""
    items = []
    for kind, table, more in _TABLES:
        pairs = [entry.split(":") for entry in table.split()]
        values = sorted({value for _, value in pairs} | set(more))
        for name, value in pairs:
            others = [other for other in values if other != value]
            chosen = numpy_generator(seed, "world fact", name).choice(len(others), 5, replace=False)
            items.append(kind.item(name, value, [others[int(i)] for i in chosen]))
    return tuple(items)
