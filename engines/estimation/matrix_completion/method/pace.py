"""Over-relaxation of the half-steps: how far to go beyond the minimiser of each.

Alternating minimisation is block Gauss-Seidel. Close to the solution its error shrinks by a factor mu^2 a step;
relaxed by omega (each half-step goes omega times as far) it shrinks by lambda with Young's relation for two
consistently ordered blocks,

    (lambda + omega - 1)^2 = lambda omega^2 mu^2,   best omega = 2 / (1 + sqrt(1 - mu^2)), lambda = omega - 1

(Young 1971; adaptive use as in Hageman and Young 1981, ch. 9). For mu^2 = .72, as near the recovery threshold,
that is .31 a step instead of .72.

Safeguard: a half-step is a quadratic problem, and going omega in (0, 2) times as far lowers its objective by
omega (2 - omega) times what the full half-step gains, also where conjugate gradients stopped early. So the
objective never rises, whatever the estimate of omega.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

SLOWEST = 0.98
"""Largest mu^2 that an estimate may give, so that omega stays below 1.76."""


@dataclass(frozen=True)
class Pace:
    """Relaxation factor and its history."""

    omega: float = 1.0
    residual: float = float("inf")
    """At the end of the last step."""
    rate: float = 0.0
    """Last residual over the one before."""
    steps: int = 0

    def after(self, before: float, after: float) -> Pace:
        """The pace for the next step, given the residuals before and after this one."""
        if not 0.0 < after < before:
            return Pace(1.0, after, 0.0, 0)
        rate = after / before
        return Pace(self._next(rate), after, rate, self.steps + 1)

    def _next(self, rate: float) -> float:
        if self.steps == 0:  # the first step's rate is the start's, not the iteration's
            return 1.0
        over = self.omega - 1.0
        if rate <= over:  # past the best omega every mode shrinks by omega - 1: the rate tells nothing more
            return 1.0 + 0.85 * over
        mu_squared = min((rate + over) ** 2 / (rate * self.omega**2), SLOWEST)
        return 2.0 / (1.0 + math.sqrt(1.0 - mu_squared))
