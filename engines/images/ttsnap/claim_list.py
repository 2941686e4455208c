"""The claims in words. Imports nothing heavy; `claims.py` decides them."""

from __future__ import annotations

from engines.contract import Claim

NOTEBOOK = "official code, simulation notebook"
CLAIMS = (
    Claim("alignment", "At every step where it prunes, the noise-aware reward ranks the seeds more like the final reward does than "
          "the plain reward (Spearman, held-out prompts).", source="section 4"),
    Claim("reward", "With the same budget of calls TTSnap ends at a higher final reward than pruning by the plain reward.",
          source="abstract"),
    Claim("reward_half", "The same with half of the budget."),
    Claim("best_of_n", "With the same budget TTSnap ends at a higher final reward than best-of-N.",
          paper="FLUX, HPS x 100, 2,000 TFLOPs: 29.301 against 29.106", source=NOTEBOOK),
    Claim("best_of_n_half", "The same with half of the budget."),
    Claim("plain_pruning", "Pruning by the plain reward already beats best-of-N at the same budget."),
    Claim("plain_pruning_half", "The same with half of the budget."),
    Claim("increase", "Over budgets, the relative increase of TTSnap over best-of-N is positive.",
          paper="27.23 % (FLUX, HPS, the code's own accounting)", source=NOTEBOOK, unit="%"),
    Claim("judged", "What TTSnap picks is right by the exact checker at least as often as what best-of-N picks."),
    Claim("learns", "After training the mean alignment over the learnt levels is above the plain reward's (held-out prompts).",
          source="section 4"),
    Claim("found_schedule", "A schedule found by random search on half of the prompts beats the given one on the other half."),
)  # fmt: skip
