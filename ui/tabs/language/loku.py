"""The view of LoKU: what each contender forgot and kept, why, and at what cost."""

from __future__ import annotations

from functools import partial
from typing import Any

from ui.figures import Axis
from ui.tabs.language import loku_figures as draw
from ui.tabs.language.loku_figures import EPOCH, KNOWN, STEP, UTILITY
from ui.views import FigureSpec, Values, View

_LATER = "Appears when the first contender has ended."
_FILA = "Appears when a contender starts with FILA."


def _starts_with_fila(params: Values) -> bool:
    losses = params.get("losses", ("ihl",))
    return ("ihl" in losses and "fila" in params.get("starts", ("fila",))) or (
        "fila" in params.get("baseline_starts", ()) and set(losses) != {"ihl"}
    )


def _has_ihl(params: Values) -> bool:
    return "ihl" in params.get("losses", ("ihl",))


def _spec(key: str, title: str, subtitle: str, build: Any, *reads: str, **more: Any) -> FigureSpec:
    return FigureSpec(
        key, title, subtitle, build, reads, **{"awaits": "Appears with the first looks.", **more}
    )


def _epochs(key: str, title: str, subtitle: str, name: str, y: Axis) -> FigureSpec:
    return _spec(
        key, title, subtitle, partial(draw.over_epochs, name=name, y=y), f"series:{name}", x=EPOCH, y=y
    )


def _steps(key: str, title: str, subtitle: str, name: str, y: Axis) -> FigureSpec:
    return _spec(
        key, title, subtitle, partial(draw.by_step, name=name, y=y), f"series:{name}", awaits="Appears with the first step.",
        x=STEP, y=y,
    )  # fmt: skip


_P = Axis("probability", low=0, high=1)

VIEW = View(
    figures=(
        _spec("path", "Forgetting against utility", "Good is the upper right: forgotten, and the rest kept. The star never saw the data.",
              draw.path, "series:model utility", "series:forget accuracy", height=360, x=KNOWN, y=UTILITY),
        _spec("forgetting", "Accuracy on what is forgotten",
              "At the threshold a model cannot be told from one that never saw the data: there everybody stops.",
              draw.forgetting, "series:forget accuracy", "series:threshold", height=360, x=EPOCH, y=Axis("accuracy", low=0, high=1)),
        _spec("words", "Next words where the fact is due", "Slide through the probes: one to keep, two to forget.",
              draw.next_words, "array:next token", height=360, wide=True, awaits=_LATER, x=Axis("next word"), y=_P),
        _epochs("utility", "Model utility", "Higher is better. Harmonic mean of probability, ROUGE and truth ratio of all that must stay.",
                "model utility", UTILITY),
        _epochs("forget-p", "Probability of what is forgotten", "Of the true answers, a token's geometric mean.", "forget probability", _P),
        _epochs("retain-p", "Probability of what is kept", "Higher is better. Authors that must stay.", "retain probability", _P),
        _epochs("world-p", "Probability of world facts", "Higher is better. Of the true option among the false ones.", "world probability", _P),
        _steps("ihl", "Inverted hinge", "2: the true word has all mass; 0: another one has. Measured for every contender.", "IHL",
               Axis("IHL", low=0, high=2)),
        _spec("hinge", "The hinge at work", "The true word falls, the runner-up rises; IHL stops once that one has won.",
              draw.hinge_at_work, "series:p target", "series:p runner-up", when=_has_ihl, awaits="Appears with the first step.", x=STEP, y=_P),
        _steps("retain-ce", "Retain loss", "Lower is better; GA has none.", "retain CE", Axis("cross-entropy", "nats a token", low=0)),
        _spec("truth", "Truth ratios of the forget set", "The nearer to the retain-only curve the better; D and p of the Kolmogorov-Smirnov test between the two.",
              draw.truth_ratios, "array:truth ratios", "table:Where they ended", awaits=_LATER, x=Axis("truth ratio", log=True),
              y=Axis("share of the questions")),
        _spec("attack", "Re-learning attack", "Lower after the attack is better. Facts that were not taught again.",
              draw.attack, "series:fact accuracy*", awaits=_LATER, x=Axis(), y=Axis("facts known", low=0, high=1)),
        _spec("rows", "Row weights", "Brighter matters more for what is forgotten than for what is kept.", draw.row_weights,
              "array:row weights", when=_starts_with_fila, awaits=_FILA, x=Axis("target"), y=Axis("layer")),
        _spec("spectra", "What a rank takes", "Mean over the matrices: importance concentrates what the adapter must hold.",
              draw.spectra, "array:spectra", when=_starts_with_fila, awaits=_FILA, x=Axis("rank", log=True), y=Axis("share taken")),
        _spec("shares", "What the adapters took of each matrix", "Weighted by importance and plain.", draw.rank_shares,
              "array:share taken by the rank", wide=True, when=_starts_with_fila, awaits=_FILA, x=Axis(), y=Axis("share")),
    ),
    tables=(
        "Where they ended", "Parts of the utility", "seconds and memory", "Importance by layer", "Learning rates tried",
    ),
    lead="Probes",
    compared={"Probes": "truth"},
)  # fmt: skip
