"""LoKU live: contenders forget the same questions, one after the other, each until it knows no more than a model that
never saw them.

Events (series are contenders' names, `contenders.Contender.series`; "IHL + FILA" is the method, "before" the original
model, "retain only" its twin):

Scalars by step: `IHL`, `p target`, `p runner-up` (means over the forget batch), `forget loss` (the contender's own), `retain
CE`, `learning rate`, `gradient length`, `time/step` (s).
Scalars by epoch (fractions): `forget accuracy` (memorisation accuracy, what the stopping rule looks at), `extraction
likelihood` (plain texts), `model utility`, `forget|retain|known authors|world probability`, `... fact accuracy`,
`... accuracy`, `forget truth ratio`. Once: `threshold`, `largest logit change at the start`, `time/importance`, `fact accuracy
before|after the attack`.
Arrays: `next token` (step: which probe; model x token), `truth ratios` (model x question, sorted), `row weights` and
`spread of row weights` (layer x target), `share taken by the rank` (matrix x weighted, plain), `spectra`.
Tables: `Probes`, `Where they ended`, `Parts of the utility`, `seconds and memory`, `Importance by layer`, `Learning rates
tried`. Texts: `threshold`, `what is forgotten`, `forget quality`. Files: `model <contender>`.
Alerts: the data, rank lowered, cut off, nothing to forget, diverged, model not kept, few questions, destroyed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engines.contract import Context, Engine, Inquiry, Paper, Run
from engines.events import Table
from engines.language.loku.claims import CLAIMS
from engines.language.loku.contenders import METHOD
from engines.language.loku.params import PRESETS, LokuParams, check

PAPER = Paper(
    key="loku",
    title="Towards Robust and Parameter-Efficient Knowledge Unlearning for LLMs",
    authors=("Sungmin Cha", "Sungjun Cho", "Dasol Hwang", "Moontae Lee"),
    year=2025,
    family="language",
    summary="Make a language model forget: a bounded loss that raises only the runner-up, in adapters started where it matters.",
    short="LoKU",
    venue="ICLR 2025",
    arxiv="2408.06621",
    code="https://github.com/csm9493/efficient-llm-unlearning",
)


def run(params: LokuParams, context: Context) -> Run:
    """All contenders of these parameters."""
    from engines.language.loku import contest

    yield from contest.run(params, context)


def answer(files: Sequence[Path], question: str) -> Table:
    """The question answered by the model before and by what each contender left of it."""
    from engines.language import kept_models

    rows = []
    for told in kept_models.ask(files, question):
        words = ", ".join(
            f"{token.text.strip() or repr(token.text)} {token.probability:.2f}" for token in told.first[:3]
        )
        rows.append((told.model, told.answer + ("" if told.ended else " …"), words))
    return Table("Asked", ("model", "answer", "likeliest first words"), rows)


INQUIRY = Inquiry(
    title="Ask the models",
    help="The model before, and what each contender left of it, answer a question of yours.",
    placeholder="Where was Gustav Yarwick born?",
    files="model ",
    answer=answer,
)


ENGINE = Engine(
    paper=PAPER,
    params=LokuParams,
    run=run,
    claims=CLAIMS,
    presets=PRESETS,
    headline=(METHOD, "model utility"),
    headline_label="model utility",
    lower_is_better=False,
    about=Path(__file__).parent / "about.md",
    check=check,
    inquiry=INQUIRY,
)
