"""What OBLR-PO costs: a whole training step against RLOO's, and exact per-sample norms against their rivals.

    python benchmarks/rl.py [--repeats 15] [--threads 1]

Step: sampling, reward, forward, backward, update of the embedded policy (8 prompts x 16 responses). RLOO is a plain
loop with `loss.backward()`: no norms, no SNR, nothing recorded. Norms: ghost norms, a loop of backward passes,
`torch.func.vmap`, and Opacus where it is installed, all on the same rollout, checked against each other. Contenders
take turns, so that a busy machine hits all alike; medians are reported, ratios are of medians of CPU time.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from engines.devices import numpy_generator, torch_generator
from engines.language import char_policy, rl_models, rl_rollouts
from engines.language.oblr_po.method import estimators
from engines.language.oblr_po.training import Settings, Trainer
from engines.language.per_sample_norms import record
from engines.language.verifiers import exact_match

PROMPTS, GROUP = 8, 16
BOUNDS = {"exact norms": 1.6, "head only": 1.15}


class PlainRloo:
    """RLOO as one would write it without any monitor."""

    def __init__(self) -> None:
        self.policy = rl_models.load(char_policy.EMBEDDED, "cpu")
        self.optimizer = torch.optim.AdamW(self.policy.model.parameters(), lr=1e-4, weight_decay=0.0)

    def step(self, problems: list[char_policy.Problem], group: int, generator: torch.Generator) -> None:
        """Sample, score, one optimizer step."""
        import numpy as np

        repeated = [p for p in problems for _ in range(group)]
        rollout = rl_rollouts.sample(
            self.policy.model,
            self.policy.tokenizer,
            [p.prompt for p in repeated],
            max_new_tokens=4,
            generator=generator,
        )
        rewards = np.array(
            [exact_match(p.prompt, r, p.answer) for p, r in zip(repeated, rollout.responses, strict=True)]
        )
        advantages = torch.as_tensor(estimators.rloo(rewards.reshape(-1, group)).ravel())
        tokens, _ = rl_rollouts.token_log_probs(self.policy.model, rollout)
        loss = -(advantages * (tokens * rollout.response[:, 1:]).sum(1)).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def steps(repeats: int) -> None:
    """Cost of a step of each contender."""
    train, _ = char_policy.split_problems()
    contenders = {"RLOO, plain": PlainRloo()}
    for name, weights in (("exact norms", "exact"), ("head only", "head")):
        policy = rl_models.load(char_policy.EMBEDDED, "cpu")
        contenders[name] = Trainer(policy, exact_match, Settings(weights=weights, rate=1e-4))

    def one(name: str, step: int) -> None:
        chosen = numpy_generator(0, "prompts", step).choice(len(train), PROMPTS, replace=False)
        contenders[name].step([train[i] for i in chosen], GROUP, torch_generator(0, "rollout", step))

    seconds = take_turns({name: (lambda step, name=name: one(name, step)) for name in contenders}, repeats)
    plain = seconds["RLOO, plain"]
    print(f"\nOne step, {PROMPTS} prompts x {GROUP} responses (CPU milliseconds, median of {repeats})")
    for name, value in seconds.items():
        bound = (
            f"  bound {BOUNDS[name]}: {'met' if value / plain <= BOUNDS[name] else 'MISSED'}"
            if name in BOUNDS
            else ""
        )
        print(f"  {name:14s} {1000 * value:8.1f}   x {value / plain:.2f}{bound}")


def take_turns(work: dict[str, Callable[[int], object]], repeats: int) -> dict[str, float]:
    """Median CPU seconds of each piece of work, one after the other in every round."""
    taken: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(repeats + 2):
        for name, do in work.items():
            before = time.process_time()
            do(turn)
            if turn >= 2:  # the first two rounds warm up
                taken[name].append(time.process_time() - before)
    return {name: statistics.median(values) for name, values in taken.items()}


def norms(repeats: int) -> None:
    """Cost and agreement of the ways to exact per-sample norms."""
    policy = rl_models.load(char_policy.EMBEDDED, "cpu")
    policy.model.config._attn_implementation = "eager"
    train, _ = char_policy.split_problems()
    prompts = [p.prompt for p in train[:PROMPTS] for _ in range(GROUP)]
    rollout = rl_rollouts.sample(
        policy.model, policy.tokenizer, prompts, max_new_tokens=4, generator=torch_generator(0, "x")
    )
    ways: dict[str, Callable[[int], Tensor]] = {
        "ghost norms": lambda _: ghost(policy.model, rollout),
        "vmap, chunks of 64": lambda _: by_vmap(policy.model, rollout),
        "loop of backwards": lambda _: by_loop(policy.model, rollout),
    }
    if importlib.util.find_spec("opacus"):
        per_sample = OpacusNorms(rollout)
        ways["Opacus (ghost)"] = lambda _: per_sample.norms()
    else:
        print("Opacus is not installed: left out.")
    truth = by_loop(policy.model, rollout)
    seconds = take_turns(ways, max(3, repeats // 3))
    print(
        f"\nPer-sample norms, {len(prompts)} sequences of {rollout.ids.shape[1]} tokens, {policy.trainable:,} parameters"
    )
    for name, value in seconds.items():
        error = float(((ways[name](0) - truth).abs() / truth).max())
        print(
            f"  {name:20s} {1000 * value:9.1f} ms  x {value / seconds['ghost norms']:.2f}   largest relative error {error:.1e}"
        )


def rows(model: torch.nn.Module, rollout: rl_rollouts.Rollout) -> Tensor:
    """log pi of each response, (B,)."""
    tokens, _ = rl_rollouts.token_log_probs(model, rollout)
    return (tokens * rollout.response[:, 1:]).sum(1)


def ghost(model: torch.nn.Module, rollout: rl_rollouts.Rollout) -> Tensor:
    """Forward, one backward, norms."""
    with record(model) as tape:
        objective = rows(model, rollout)
    tape.differentiate(objective.sum())
    return tape.squared_norms()


def by_loop(model: torch.nn.Module, rollout: rl_rollouts.Rollout) -> Tensor:
    """One forward and backward pass for each row."""
    found = []
    for b in range(len(rollout.ids)):
        grads = torch.autograd.grad(rows(model, rollout.rows(b, b + 1)).sum(), list(model.parameters()))
        found.append(sum(g.square().sum() for g in grads))
    return torch.stack(found)


def by_vmap(model: torch.nn.Module, rollout: rl_rollouts.Rollout) -> Tensor:
    """torch.func: eager attention with an explicit mask, since transformers' own mask code does not vmap."""
    from torch.func import functional_call, grad, vmap

    parameters = {name: p.detach() for name, p in model.named_parameters()}
    causal = torch.tril(torch.ones(rollout.ids.shape[1], rollout.ids.shape[1]))
    positions = rl_rollouts.position_ids(rollout.attention)

    def one(p: dict[str, Tensor], ids: Tensor, attention: Tensor, response: Tensor, place: Tensor) -> Tensor:
        mask = (1 - causal * attention) * torch.finfo(torch.float32).min
        inputs = {
            "input_ids": ids[None],
            "attention_mask": mask[None, None],
            "position_ids": place[None],
            "use_cache": False,
        }
        logits = functional_call(model, p, (), inputs).logits[0, :-1]
        chosen = logits.log_softmax(1).gather(1, ids[1:, None]).squeeze(1)
        return (chosen * response[1:]).sum()

    arguments = (parameters, rollout.ids, rollout.attention.float(), rollout.response.float(), positions)
    grads = vmap(grad(one), in_dims=(None, 0, 0, 0, 0), chunk_size=64)(*arguments)
    return sum(g.flatten(1).square().sum(1) for g in grads.values())


class OpacusNorms:
    """Opacus' fast gradient clipping module, used for its norms alone; it knows Linear but not GPT-2's Conv1D, so
    these are swapped for equal Linear layers."""

    def __init__(self, rollout: rl_rollouts.Rollout) -> None:
        from opacus.grad_sample import GradSampleModuleFastGradientClipping

        model = rl_models.load(char_policy.EMBEDDED, "cpu").model
        swap_conv1d(model)
        self._rollout = rollout
        self._module = GradSampleModuleFastGradientClipping(
            model, loss_reduction="sum", max_grad_norm=1.0, use_ghost_clipping=True
        )

    def norms(self) -> Tensor:
        """Forward, backward, norms."""
        self._module.train()  # Opacus records in this mode only; the policy has no dropout
        self._module.zero_grad()
        r = self._rollout
        out = self._module(
            input_ids=r.ids,
            attention_mask=r.attention,
            position_ids=rl_rollouts.position_ids(r.attention),
            use_cache=False,
        )
        chosen = out.logits[:, :-1].log_softmax(2).gather(2, r.ids[:, 1:, None]).squeeze(2)
        (chosen * r.response[:, 1:]).sum().backward()
        return self._module.get_norm_sample().detach() ** 2


def swap_conv1d(model: torch.nn.Module) -> None:
    """Replace transformers' Conv1D by Linear with the same weights."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child).__name__ == "Conv1D":
                linear = torch.nn.Linear(*child.weight.shape)
                linear.weight.data, linear.bias.data = child.weight.data.T.contiguous(), child.bias.data
                setattr(parent, name, linear)


def main() -> None:
    """Both comparisons, with the machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {args.threads} thread(s), torch {torch.__version__}, load {load}"
    )
    steps(args.repeats)
    norms(args.repeats)


if __name__ == "__main__":
    main()
