"""Names that the contract fixes."""

SECTIONS = [
    "## The idea",
    "## Key formula",
    "## What to try",
    "## How to read the plots",
    "## Departures from the paper",
    "## Results here",
    "## Cite",
]
