"""How good a policy is on problems that it was never rewarded on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from engines.language import char_policy, rl_rollouts
from engines.language.char_policy import Problem
from engines.language.rl_models import Policy
from engines.language.verifiers import Reward


@dataclass(frozen=True)
class Quality:
    """`sampled` (problems,): the chance of a right answer at temperature 1, exact for the embedded task and else
    from one sample; `greedy` (problems,): 1 where the most likely text is right (0 to 1 rewards)."""

    sampled: NDArray[np.float64]
    greedy: NDArray[np.float64]


@torch.no_grad()
def evaluate(
    policy: Policy,
    reward: Reward,
    problems: list[Problem],
    max_new_tokens: int,
    exact: bool,
    generator: torch.Generator,
) -> Quality:
    """Quality on `problems`. With `exact` the reward must be an exact match of answer and end mark."""
    greedy = _rewards(policy, reward, problems, max_new_tokens, generator, greedy=True)
    if exact:
        return Quality(_chance_of_answer(policy, problems), greedy)
    return Quality(_rewards(policy, reward, problems, max_new_tokens, generator, greedy=False), greedy)


def _rewards(
    policy: Policy,
    reward: Reward,
    problems: list[Problem],
    max_new_tokens: int,
    generator: torch.Generator,
    greedy: bool,
) -> NDArray[np.float64]:
    out = rl_rollouts.sample(
        policy.model,
        policy.tokenizer,
        [p.prompt for p in problems],
        max_new_tokens=max_new_tokens,
        generator=generator,
        greedy=greedy,
    )
    found = [
        reward(p.prompt, r, p.answer) if done else 0.0
        for p, r, done in zip(problems, out.responses, out.ended, strict=True)
    ]
    return np.array([0.0 if v is None else v for v in found])


def _chance_of_answer(policy: Policy, problems: list[Problem]) -> NDArray[np.float64]:
    """pi(answer and end mark | prompt) of each problem: no sampling noise."""
    tokenizer = policy.tokenizer
    prompt_length = len(problems[0].prompt)
    texts = [p.prompt + p.answer + char_policy.END for p in problems]
    batch = tokenizer(texts, padding=True, padding_side="right", return_tensors="pt")
    device = next(policy.model.parameters()).device
    ids, attention = batch["input_ids"].to(device), batch["attention_mask"].to(device)
    response = attention.clone()
    response[:, :prompt_length] = 0
    rollout = rl_rollouts.Rollout(ids, attention, response, texts, np.ones(len(texts), dtype=bool))
    tokens, _ = rl_rollouts.token_log_probs(policy.model, rollout)
    return (tokens * response[:, 1:]).sum(1).exp().double().cpu().numpy()
