"""The claims of the paper, in words. Imports nothing heavy; `claims.py` decides them."""

from __future__ import annotations

from engines.contract import Claim

ABSTRACT = "abstract"
CLAIMS = (
    Claim("rises", "The reward of the result is above that of the plain one-step picture, for every noise."),
    Claim("equal_iterations", "After as many iterations as best-of-N has looked at pictures, ReNO's reward is higher."),
    Claim("time_equal", "With the same measured time ReNO's reward is above best-of-N's."),
    Claim("accuracy", "The prompt is followed better than by the plain picture (share of right pictures).",
          paper="up to 20 points or more on compositional prompts", source=ABSTRACT),
    Claim("time_warm", "ReNO started from the best of a few is right more often than best-of-N with the same measured time."),
    Claim("time_warm_reward", "Started from the best of a few, ReNO's reward is above best-of-N's with the same measured time."),
    Claim("norm", "The regulariser keeps the noise's norm near sqrt(d - 1); without it the norm drifts away."),
    Claim("all_rewards", "All rewards together are right at least as often as with any one of them left out."),
    Claim("transfer", "The noise found for one step also gives the many-step model pictures of a higher reward.", source="official code"),
)  # fmt: skip
