"""Robust alternating minimisation for low-rank matrix completion (Gu, Song, Yin, Zhang, arXiv 2302.11068).

`MatrixCompletion` is the way in; `alternating.init` / `step` is the method without a loop around it."""

from engines.estimation.matrix_completion.method.alternating import Info, Options, State, init, step
from engines.estimation.matrix_completion.method.estimator import Iterate, MatrixCompletion
from engines.estimation.matrix_completion.method.observations import Observations

__all__ = ["Info", "Iterate", "MatrixCompletion", "Observations", "Options", "State", "init", "step"]
