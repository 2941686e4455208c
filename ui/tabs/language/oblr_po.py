"""The view of OBLR-PO: training and its monitors, the audit, the bandit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ui.figures import Axis
from ui.tabs.language import oblr_po_figures as draw
from ui.tabs.language.oblr_po_figures import STEP
from ui.views import FigureSpec, Values, View

P_AXIS = Axis("chance of the better arm", low=0, high=1)


def _shows(*experiments: str) -> Callable[[Values], bool]:
    return lambda params: params.get("experiment", "training") in experiments


TRAINING, BANDIT = _shows("training", "audit", "all"), _shows("bandit", "all")
_AUDITED = "Appears with the first audit, after the first step."


def _spec(key: str, title: str, subtitle: str, build: Any, *reads: str, **more: Any) -> FigureSpec:
    return FigureSpec(
        key,
        title,
        subtitle,
        build,
        reads,
        **{"awaits": "Appears with the first step.", "when": TRAINING, "x": STEP, **more},
    )


def _scalar(key: str, title: str, subtitle: str, name: str, y: Axis, **more: Any) -> FigureSpec:
    shape = more.pop("shape", "linear")
    return _spec(
        key,
        title,
        subtitle,
        partial(draw.by_step, name=name, y=y, shape=shape),
        f"series:{name}",
        y=y,
        **more,
    )


_ACCURACY = Axis("chance of a right answer")
_VARIANCE = Axis("variance of the batch gradient", log=True)
_RATIO = Axis("signal / noise of the batch", log=True)

TRAINING_FIGURES = (
    _spec(
        "accuracy", "Held-out accuracy", "Higher is better. Chance of a right answer on problems nobody was trained on.",
        partial(draw.accuracy, y=_ACCURACY), "series:held-out accuracy*", height=360, y=_ACCURACY,
    ),
    _scalar("reward", "Training reward", "Smoothed over about five steps; each contender on its own samples.",
            "train reward, smoothed", Axis("mean reward"), height=360),
    _spec(
        "snr", "Signal to noise of the gradient",
        "Under 0.1 the step follows noise, above 1 it follows signal. Running mean along each contender's own path.",
        draw.snr, "series:SNR", y=Axis("signal / noise", log=True),
    ),
    _scalar("rate", "Learning rate", "Adaptive contenders use a share of their largest rate; the others stay level.",
            "learning rate", Axis("learning rate", log=True), shape="hv"),
    _scalar("rho", "Share of the largest rate", "SNR / (1 + SNR) of running means, never below the floor.",
            "share of the largest rate", Axis("share ρ", low=0, high=1), shape="hv"),
    _spec("signal", "Variance and signal of OBLR-PO's gradient", "Signal above variance means SNR above 1.",
          draw.variance_and_signal, "series:gradient variance", "series:gradient signal", y=Axis("squared length", log=True)),
    _scalar("greedy", "Greedy held-out accuracy", "Higher is better. Share of problems whose most likely answer is right.",
            "greedy held-out accuracy", Axis("share right")),
    _scalar("entropy", "Entropy of the policy", "A fall to zero means that it has stopped exploring.", "entropy",
            Axis("entropy", "nats a token", low=0)),
    _scalar("silent", "Groups without signal", "Share of prompts whose responses all had the same reward.",
            "groups without signal", Axis("share of the prompts", low=0, high=1)),
    _scalar("batch", "Prompts needed for SNR 1", "The gradient noise scale in prompts; a gap where no signal can be seen.",
            "prompts for SNR 1", Axis("prompts a step", log=True)),
    _spec("time", "Where a step's time goes", "Exact gradient norms add the part called norms.", draw.step_time, "series:time/*",
          x=Axis(), y=Axis("time a step", "ms")),
)  # fmt: skip

AUDIT_FIGURES = (
    _spec(
        "audit", "Variance audit at fixed parameters",
        "Lower is better; log axis. Exact baselines are the limit, not a method. Slide through the audits.",
        partial(draw.audit_bars, name="audit variance", y=_VARIANCE), "array:audit variance", "array:audit half width",
        height=360, wide=True, awaits=_AUDITED, x=Axis("responses a prompt"), y=_VARIANCE,
    ),
    _spec("ratio", "Estimated optimal baseline against RLOO", "Below 1 it has less variance; bands are 95 % intervals.",
          draw.audit_ratio, "array:audit ratio*", awaits=_AUDITED, x=Axis("responses a prompt"), y=Axis("variance / RLOO's")),
    _spec("audit-snr", "Signal to noise by estimator", "Higher is better. Prompts are fixed, so part of the noise is absent.",
          partial(draw.audit_bars, name="audit SNR", y=_RATIO), "array:audit SNR", awaits=_AUDITED,
          x=Axis("responses a prompt"), y=_RATIO),
    _spec("lens", "Baseline lens", "A dot a prompt; on the diagonal the mean reward would be the best baseline.", draw.lens,
          "array:baseline lens", awaits=_AUDITED, x=Axis("mean reward"), y=Axis("optimal baseline")),
    _spec("parabola", "Variance against the baseline", "The lowest point is not the mean reward.", draw.parabola,
          "array:variance parabola", "array:parabola marks", awaits=_AUDITED, x=Axis("baseline for all prompts"),
          y=Axis("variance at G = 1")),
    _spec("weights", "Gradient norms of right and wrong answers", "The weights of the optimal baseline, before squaring.",
          draw.weights, "array:weights by answer", awaits=_AUDITED, x=Axis("gradient norm of a response"),
          y=Axis("share of the answers")),
)  # fmt: skip

BANDIT_FIGURES = (
    _spec("two-arms", "Two arms: exact variance", "The optimal baseline leaves none, at every policy.",
          partial(draw.by_step, name="bandit variance", y=Axis("variance"), x=P_AXIS), "series:bandit variance", when=BANDIT, x=P_AXIS,
          y=Axis("variance")),
    _spec("two-arms-baseline", "Two arms: the baseline", "1 - p is optimal, where the mean reward is p.",
          partial(draw.by_step, name="bandit baseline", y=Axis("baseline"), x=P_AXIS), "series:bandit baseline", when=BANDIT, x=P_AXIS,
          y=Axis("baseline")),
    _spec("policies", "Ten arms: variance at three policies", "Lower is better; log axis. Peaked policies gain most.",
          draw.bandit_policies, "array:bandit variance by policy", when=BANDIT, x=Axis(), y=Axis("variance", log=True)),
    _spec("ascent", "Ten arms: ascent at the SNR rate", "Each baseline at the step that its own noise allows.",
          partial(draw.by_step, name="bandit value", y=Axis("expected reward")), "series:bandit value", when=BANDIT,
          y=Axis("expected reward")),
    _spec("bandit-snr", "Ten arms: signal to noise on the way", "Falls towards the optimum, where the gradient vanishes.",
          partial(draw.snr, name="bandit SNR"), "series:bandit SNR", when=BANDIT, y=Axis("signal / noise", log=True)),
)  # fmt: skip

VIEW = View(
    figures=(*TRAINING_FIGURES, *AUDIT_FIGURES, *BANDIT_FIGURES),
    tables=(
        "Where they ended", "Variance audit", "Rollouts", "Stand-ins for the gradient norm", "Learning rates tried",
        "Two arms: exact variance", "Ten arms: one step at the SNR rate",
    ),
)  # fmt: skip
