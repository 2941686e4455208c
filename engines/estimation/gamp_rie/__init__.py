"""GAMP-RIE: Bayes-optimal learning of an extensive-width quadratic network (arXiv 2408.03733).

`ENGINE` is the live experiment. The method's own names (`iterate`, `bayes_error`, `rie`, ...) and the baselines
load on first use, so that listing the engines imports nothing heavy:

    from engines.estimation.gamp_rie import bayes_error
    bayes_error(alpha=0.2, kappa=0.5)          # 0.39220
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from engines.estimation.gamp_rie.experiment import ENGINE

if TYPE_CHECKING:
    from engines.estimation.gamp_rie.baselines import (
        Descent,
        DescentSettings,
        average_error,
        descend,
        draw_students,
        linear_estimate,
    )
    from engines.estimation.gamp_rie.method import (
        Guard,
        Info,
        Settings,
        State,
        bayes_curve,
        bayes_error,
        bayes_map,
        centred,
        density,
        draw_inputs,
        draw_teacher,
        edges,
        effective_noise,
        hilbert,
        init,
        iterate,
        linear_error,
        network_labels,
        recovery_threshold,
        rie,
        rie_error,
        sensing,
        shrink,
        solve,
        state_evolution,
        step,
        student_weights,
    )

_BASELINES = ("Descent", "DescentSettings", "average_error", "descend", "draw_students", "linear_estimate")

__all__ = [
    "ENGINE",
    "Descent",
    "DescentSettings",
    "Guard",
    "Info",
    "Settings",
    "State",
    "average_error",
    "bayes_curve",
    "bayes_error",
    "bayes_map",
    "centred",
    "density",
    "descend",
    "draw_inputs",
    "draw_students",
    "draw_teacher",
    "edges",
    "effective_noise",
    "hilbert",
    "init",
    "iterate",
    "linear_error",
    "linear_estimate",
    "network_labels",
    "recovery_threshold",
    "rie",
    "rie_error",
    "sensing",
    "shrink",
    "solve",
    "state_evolution",
    "step",
    "student_weights",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room = "baselines" if name in _BASELINES else "method"
    return getattr(importlib.import_module(f"{__name__}.{room}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
