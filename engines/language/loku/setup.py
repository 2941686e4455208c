"""What all contenders of a run share: model, questions, exam, threshold, twin, importance."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from engines.contract import Context, Refusal
from engines.devices import numpy_generator, torch_generator
from engines.events import Alert, Event, Progress, Scalar, Text
from engines.language import authors
from engines.language.answers import score
from engines.language.loading import LanguageModel, check_targets, load
from engines.language.loku import importance_cache
from engines.language.loku.baselines import NEEDS_REFERENCE, NEEDS_REFUSALS, LossSettings
from engines.language.loku.contenders import Contender, tuned_rate
from engines.language.loku.evaluation import Exam, Quality, known_accuracy
from engines.language.loku.method.importance import Epsilons, Fisher, FisherMeter
from engines.language.loku.method.memorisation import StopRule
from engines.language.loku.params import LokuParams, twin_reference
from engines.language.loku.starts import AdapterSettings, largest_rank
from engines.language.loku.task import corpus_of, unseen_items
from engines.language.loku.unlearning import Questions, Settings
from engines.language.prompts import Encoded, Template
from engines.language.questions import Corpus

if TYPE_CHECKING:
    from engines.language.loku.tokens import View

BEFORE, TWIN = "before", "retain only"
TDEC_ACCURACY, TDEC_LIKELIHOOD = 0.2994, 0.0499
"""Means of GPT-Neo-125M on unseen text, in every configuration of joeljang/knowledge-unlearning."""


@dataclass
class Setup:
    """Everything before the first contender. `before` and `gold` are the qualities of the original model and of the
    retain-only twin (None: there is none)."""

    params: LokuParams
    context: Context
    model: LanguageModel
    corpus: Corpus
    exam: Exam
    questions: Questions
    adapters: AdapterSettings
    before: Quality
    rule: StopRule
    gold: Quality | None = None
    twin: LanguageModel | None = None
    fishers: tuple[Fisher, Fisher] | None = None
    importance_seconds: float = 0.0
    from_cache: bool = False
    done: float = 0.0
    total: float = 1.0
    views: list[tuple[str, tuple[View, ...]]] = field(default_factory=list)

    def rate(self, contender: Contender) -> float:
        """Its learning rate: the tuned one on the embedded model, else the one for all."""
        tuned = None
        if (
            self.params.rates == "tuned"
            and self.params.model == authors.MODEL
            and self.params.optimizer == "adamw"
        ):
            tuned = tuned_rate(contender)
        return tuned if tuned is not None else self.params.learning_rate

    def settings(self, contender: Contender, rate: float | None = None) -> Settings:
        """How a contender is trained; at another learning rate than its own where `rate` is given."""
        p = self.params
        direction = torch.randn(
            int(self.model.model.config.hidden_size), generator=torch_generator(self.context.seed, "RMU")
        )
        constants = LossSettings(
            npo_beta=p.npo_beta,
            dpo_beta=p.npo_beta,
            simnpo_beta=p.simnpo_beta,
            wga_beta=p.wga_beta,
            rmu_scale=p.rmu_scale,
            rmu_direction=direction / direction.norm(),
        )
        return Settings(
            loss=contender.loss, lr=rate or self.rate(contender), epochs=p.epochs, batch=p.batch, retain_weight=p.retain_weight,
            optimizer=p.optimizer, weight_decay=p.weight_decay, warm_up=p.warm_up, constants=constants,
        )  # fmt: skip

    @property
    def needs_original(self) -> bool:
        return bool(NEEDS_REFERENCE & set(self.params.losses))

    def progress(self, note: str, part: float = 0.0) -> Progress:
        """Progress at `part` (0 to 1) of the unit of work at hand."""
        return Progress(min(self.done + part, self.total), self.total, note)


def set_up(
    params: LokuParams, context: Context, contenders: list[Contender]
) -> Generator[Event, None, Setup]:
    """Load, tokenize, measure the model before and its twin, find the threshold. Raises `Refusal`."""
    total = len(contenders) + 1.0
    yield Progress(0, total, "loading the model")
    template = Template("text") if params.corpus == "tdec" else None
    model = load(params.model, context.device, template=template)
    corpus = corpus_of(params, context.inputs, model.tokenizer, context.seed)
    for notice in corpus.notices:
        yield Alert("the data", 0, notice)
    adapters, notice = _adapters(params, model)
    if notice:
        yield Alert("rank lowered", 0, notice)
    try:
        exam = Exam(model, corpus, params.evaluated)
        questions = _questions(params, model, corpus)
    except ValueError as error:
        raise Refusal(
            "forget" if params.own_data else "corpus", f"{error}. Shorten it or take another model."
        ) from error
    cut = sum(row.cut for row in (*questions.forget, *questions.retain))
    if cut:
        yield Alert(
            "cut off",
            0,
            f"{cut} answers are longer than the model reads ({model.context} tokens) and were cut off.",
        )
    yield Progress(0.2, total, "the model before")
    before = exam.full(model)
    yield from quality_scalars(BEFORE, before, 0)
    yield Progress(0.6, total, "a model that never saw the data")
    twin, gold = None, None
    reference = twin_reference(params)
    if reference:
        twin = load(reference, context.device, "twin", template=template)
        if len(twin.tokenizer) != len(model.tokenizer):
            raise Refusal(
                "twin", f"twin must use the tokenizer of the model; {reference[:60]!r} has another."
            )
        gold = exam.full(twin)
        yield from quality_scalars(TWIN, gold, 0)
    rule, words = _rule(params, exam, model, gold, before, context.seed)
    yield Text("threshold", words)
    yield Scalar(BEFORE, "threshold", 0, rule.accuracy)
    setup = Setup(
        params,
        context,
        model,
        corpus,
        exam,
        questions,
        adapters,
        before,
        rule,
        gold,
        twin,
        done=1.0,
        total=total,
    )
    if before.forget.known <= rule.accuracy:
        yield Alert(
            "nothing to forget", 0,
            f"The model gets {before.forget.known:.2f} of what it is asked right, at or below the threshold "
            f"{rule.accuracy:.2f} already: it does not seem to know what is to be forgotten.",
        )  # fmt: skip
    if any(c.start == "fila" for c in contenders):
        yield from _importance(setup)
    yield setup.progress("ready")
    return setup


def _adapters(params: LokuParams, model: LanguageModel) -> tuple[AdapterSettings, str]:
    targets = params.target_names or model.targets
    check_targets(model.model, targets)
    most = largest_rank(model.model, targets)
    rank = min(params.rank, most)
    notice = ""
    if rank < params.rank:
        notice = f"rank was lowered from {params.rank} to {rank}, the smaller side of the model's smallest target layer."
    alpha = params.alpha or 2 * rank
    return AdapterSettings(rank, alpha, tuple(targets), Epsilons.named(params.eps), params.svd), notice


def _questions(params: LokuParams, model: LanguageModel, corpus: Corpus) -> Questions:
    forget = [model.encode(item.question, item.answer, item.fact) for item in corpus.forget]
    retain = [model.encode(item.question, item.answer, item.fact) for item in corpus.retain]
    refusals: list[Encoded] = []
    if NEEDS_REFUSALS & set(params.losses):
        if not corpus.refusals:
            raise Refusal("losses", "losses must not hold idk or dpo: this corpus has no evasive answers.")
        draw = numpy_generator(0, "refusals").integers(len(corpus.refusals), size=len(forget))
        refusals = [
            model.encode(item.question, corpus.refusals[int(k)])
            for item, k in zip(corpus.forget, draw, strict=True)
        ]
    return Questions(forget, retain, refusals)


def _rule(
    params: LokuParams, exam: Exam, model: LanguageModel, gold: Quality | None, before: Quality, seed: int
) -> tuple[StopRule, str]:
    """The stopping rule, and in words where its threshold comes from."""
    likelihood = None
    if params.corpus == "tdec":
        likelihood = params.stop_likelihood or TDEC_LIKELIHOOD
    if params.stop_accuracy:
        accuracy, words = params.stop_accuracy, "as asked for"
    elif gold is not None:
        asked = len(exam.sheets["forget"].items)
        accuracy = not_above(gold.forget.known, asked)
        words = f"the retain-only model gets {gold.forget.known:.3f}, and on {asked} questions no more than that can be told from it"
    elif params.corpus == "tdec":
        accuracy, words = TDEC_ACCURACY, "GPT-Neo-125M's mean on unseen text (joeljang/knowledge-unlearning)"
    elif params.model == authors.MODEL and not params.own_data:
        rows = [model.encode(item.question, item.answer, item.fact) for item in unseen_items(seed)]
        found, asked = (
            known_accuracy(score(model.model, rows, pad=model.pad)),
            len(exam.sheets["forget"].items),
        )
        accuracy = not_above(found, asked)
        words = f"on people whom it never met the model gets {found:.3f}, and on {asked} questions no more than that can be told from it"
    else:
        accuracy = before.forget.known / 2
        words = "half of the accuracy before, since there is no model that never saw the data: give one as twin, or a threshold"
    tokens = "the tokens that carry the facts" if before.forget.fact is not None else "the answers' tokens"
    text = f"Accuracy on {tokens} of the forget set at or below {accuracy:.3f}: {words}."
    if likelihood is not None:
        text += f" And extraction likelihood (EL10) at or below {likelihood:.4f}."
    if params.stop == "never":
        text += " Contenders go on to the last epoch all the same."
    return StopRule(accuracy, likelihood, params.min_epochs), text


def not_above(share: float, questions: int, z: float = 1.96) -> float:
    """Upper end of Wilson's 95 % interval around a share measured on so many questions: up to there a model cannot be told
    from one that has exactly this share."""
    n = max(questions, 1)
    centre, spread = share + z * z / (2 * n), z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return float((centre + spread) / (1 + z * z / n))


def _importance(setup: Setup) -> Generator[Event, None, None]:
    """Fisher values of the forget set and of as many random retain questions, from the cache where they are there."""
    model, p = setup.model, setup.params
    draw = numpy_generator(setup.context.seed, "importance")
    kept = draw.integers(len(setup.questions.retain), size=len(setup.questions.forget))
    sets = (setup.questions.forget, [setup.questions.retain[int(i)] for i in kept])
    started = time.perf_counter()
    key = (
        importance_cache.fingerprint(model.model, sets, setup.adapters.targets, p.fisher_batch)
        if p.cache
        else ""
    )
    stored = importance_cache.read(key) if key else None
    if stored is not None:
        setup.fishers, setup.from_cache = stored, True
    else:
        found: list[Fisher] = []
        for name, rows in zip(("forget", "retain"), sets, strict=True):
            meter = FisherMeter(model.model, setup.adapters.targets, p.fisher_batch)
            for count in importance_cache.feed(meter, rows, model.pad):
                yield setup.progress(f"importance for the {name} set, {count} of {len(rows)}")
            found.append(meter.values())
        setup.fishers = (found[0], found[1])
        if key:
            importance_cache.write(key, *setup.fishers)
    setup.importance_seconds = time.perf_counter() - started
    yield Scalar("IHL + FILA", "time/importance", 0, setup.importance_seconds)


def quality_scalars(series: str, quality: Quality, epoch: float) -> list[Event]:
    """Curves over the epochs of one full look."""
    found: dict[str, float | None] = {"model utility": quality.utility}
    for name, split in quality.splits.items():
        word = SPLIT_WORDS[name]
        found[f"{word} probability"] = split.probability
        found[f"{word} accuracy"] = split.accuracy if name != "forget" else None
        found[f"{word} fact accuracy"] = split.fact
    if "forget" in quality.splits:
        found["forget truth ratio"] = quality.splits["forget"].truth
    if series in (BEFORE, TWIN):
        found["forget accuracy"] = quality.forget.known
    return [Scalar(series, name, epoch, value) for name, value in found.items() if value is not None]


SPLIT_WORDS = {
    "forget": "forget",
    "retain": "retain",
    "known_authors": "known authors",
    "world_facts": "world",
}
