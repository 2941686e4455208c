"""Named settings of the GAMP-RIE engine: values that differ from the defaults."""

from __future__ import annotations

from typing import Any

from engines.contract import Preset

_QUICK: dict[str, Any] = {
    "dimension": 40,
    "seeds": 1,
    "alpha_from": 0.2,
    "alpha_to": 0.5,
    "alpha_points": 2,
    "alpha": 0.2,
    "map_points": 6,
    "iterations": 25,
    "baseline_dimension": 20,
    "students": 3,
    "baseline_seeds": 1,
    "steps": 120,
}

PRESETS: dict[str, Preset] = {
    "smoke": Preset(
        "Quick look", "A tiny sweep that ends in about a second: everything runs, little is learnt.", _QUICK
    ),
    "default": Preset(
        "Sweep without noise",
        "Error against samples for all contenders at kappa = 1/2, one noisy contrast run, the map of theory.",
    ),
    "noisy": Preset(
        "Sweep with noise",
        "Hidden noise of variance 1/16: averaged gradient descent stays above the Bayes-optimal error.",
        {"delta": 0.0625, "alpha": 0.35, "alpha_to": 0.6, "alpha_points": 6},
    ),
    "single": Preset(
        "One run in detail",
        "d = 200 at one alpha: the spectrum of R and its denoising, iteration by iteration.",
        {"mode": "single", "dimension": 200, "seeds": 1, "baseline_dimension": 100, "baseline_seeds": 1},
    ),
    "heatmap": Preset(
        "Map of theory",
        "Best possible error over samples and width, with the line of perfect recovery.",
        {"mode": "map", "map_points": 80},
    ),
    "paper": Preset(
        "Full scale",
        "d = 200, 20 values of alpha, 32 data sets, 64 initialisations of 3000 steps: hours on a CPU.",
        {
            "dimension": 200,
            "seeds": 32,
            "alpha_from": 0.02,
            "alpha_to": 0.5,
            "alpha_points": 20,
            "map_points": 80,
            "baseline_dimension": 100,
            "students": 64,
            "baseline_seeds": 2,
            "steps": 3000,
        },
    ),
}
