"""The gradient of one parameter for each row of a batch, kept as factors and never formed unless asked.

A layer's per-row gradient is a short sum over positions t, so its norm can be had without forming it:

    Outer    grad_b = sum_t left_bt right_bt^T      weights of Linear and Conv1D
    Summed   grad_b = sum_t values_bt               biases, scales of LayerNorm and RMSNorm
    Scatter  grad_b = sum_t e_{id_bt} values_bt^T   tables of Embedding

Sources: Goodfellow 2015 (arXiv 1510.01799) for one position; the Gram form over positions as in Li et al. 2021
(arXiv 2110.05679, "ghost clipping"). Everything is float32 or wider.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Outer:
    """left (B, T, p) and right (B, T, q); the parameter is p x q."""

    left: Tensor
    right: Tensor

    def squared_norms(self) -> Tensor:
        """(B,) sum_{t,t'} (left_t . left_t') (right_t . right_t'), or the norm of the formed gradient where that is
        cheaper: T^2 (p + q) against T p q operations a row."""
        steps, p, q = self.left.shape[1], self.left.shape[2], self.right.shape[2]
        if steps * (p + q) < p * q:
            return ((self.left @ self.left.mT) * (self.right @ self.right.mT)).sum((1, 2))
        return torch.linalg.vector_norm(self.formed().flatten(1), dim=1).square()

    def formed(self) -> Tensor:
        """(B, p, q)."""
        return self.left.mT @ self.right

    def scaled(self, coefficients: Tensor) -> Outer:
        """Row b times coefficients[b], on the narrower side."""
        if self.left.shape[2] <= self.right.shape[2]:
            return Outer(self.left * coefficients[:, None, None], self.right)
        return Outer(self.left, self.right * coefficients[:, None, None])

    def regrouped(self, groups: int) -> Outer:
        """Consecutive rows summed into `groups` rows."""
        return Outer(_regroup(self.left, groups), _regroup(self.right, groups))

    def first(self, count: int) -> Outer:
        """The first `count` rows."""
        return Outer(self.left[:count], self.right[:count])


@dataclass(frozen=True)
class Summed:
    """values (B, T, p); the parameter has p entries."""

    values: Tensor

    def squared_norms(self) -> Tensor:
        """(B,)."""
        return self.formed().square().sum(1)

    def formed(self) -> Tensor:
        """(B, p)."""
        return self.values.sum(1)

    def scaled(self, coefficients: Tensor) -> Summed:
        """Row b times coefficients[b]."""
        return Summed(self.values * coefficients[:, None, None])

    def regrouped(self, groups: int) -> Summed:
        """Consecutive rows summed into `groups` rows."""
        return Summed(_regroup(self.values, groups))

    def first(self, count: int) -> Summed:
        """The first `count` rows."""
        return Summed(self.values[:count])


@dataclass(frozen=True)
class Scatter:
    """ids (B, T) and values (B, T, q); the parameter is `rows` x q."""

    ids: Tensor
    values: Tensor
    rows: int

    def squared_norms(self) -> Tensor:
        """(B,) sum_{t,t'} [id_t = id_t'] values_t . values_t', or through the table where that is cheaper."""
        if self.ids.shape[1] > self.rows:
            return self.formed().square().sum((1, 2))
        same = self.ids[:, :, None] == self.ids[:, None, :]
        return ((self.values @ self.values.mT) * same).sum((1, 2))

    def formed(self) -> Tensor:
        """(B, rows, q)."""
        batch, _, q = self.values.shape
        table = self.values.new_zeros(batch, self.rows, q)
        return table.scatter_add_(1, self.ids[:, :, None].expand(-1, -1, q), self.values)

    def scaled(self, coefficients: Tensor) -> Scatter:
        """Row b times coefficients[b]."""
        return Scatter(self.ids, self.values * coefficients[:, None, None], self.rows)

    def regrouped(self, groups: int) -> Scatter:
        """Consecutive rows summed into `groups` rows."""
        return Scatter(_regroup(self.ids, groups), _regroup(self.values, groups), self.rows)

    def first(self, count: int) -> Scatter:
        """The first `count` rows."""
        return Scatter(self.ids[:count], self.values[:count], self.rows)


Factor = Outer | Summed | Scatter


def _regroup(values: Tensor, groups: int) -> Tensor:
    return values.reshape(groups, -1, *values.shape[2:])


def merged(factors: list[Factor]) -> list[Factor]:
    """Uses of one parameter in one forward, joined over positions: at most one factor of each kind remains."""
    if len(factors) == 1:
        return factors
    outers = [f for f in factors if isinstance(f, Outer)]
    summed = [f for f in factors if isinstance(f, Summed)]
    scattered = [f for f in factors if isinstance(f, Scatter)]
    result: list[Factor] = []
    if outers:
        result.append(Outer(torch.cat([f.left for f in outers], 1), torch.cat([f.right for f in outers], 1)))
    if summed:
        result.append(Summed(torch.cat([f.values for f in summed], 1)))
    if scattered:
        ids, values = torch.cat([f.ids for f in scattered], 1), torch.cat([f.values for f in scattered], 1)
        result.append(Scatter(ids, values, scattered[0].rows))
    return result


def squared_norms(factors: list[Factor]) -> Tensor:
    """(B,) squared norm of the sum of a parameter's factors (from `merged`).

    A table that serves as embedding and as head has a Scatter and an Outer: ||E + H||^2 = ||E||^2 + ||H||^2 + 2 E.H
    with E.H = sum_{t,t'} left_t'[id_t] (values_t . right_t')."""
    total = sum(f.squared_norms() for f in factors)
    table = next((f for f in factors if isinstance(f, Scatter)), None)
    head = next((f for f in factors if isinstance(f, Outer)), None)
    if table is not None and head is not None:
        picked = head.left.mT.gather(
            1, table.ids[:, :, None].expand(-1, -1, head.left.shape[1])
        )  # (B, t, t')
        total = total + 2 * (picked * (table.values @ head.right.mT)).sum((1, 2))
    return total


def formed(factors: list[Factor]) -> Tensor:
    """(B, *parameter shape) the gradients themselves."""
    first, *rest = (f.formed() for f in factors)
    return sum(rest, start=first)
