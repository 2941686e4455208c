"""What unlearning's measurements cost beside their plain versions.

    python benchmarks/language.py [--repeats 5] [--threads 1] [--only evaluation]

evaluation: all figures of one split of the embedded model (loss, memorisation and extraction strength of each answer;
losses of its paraphrase and five wrong options for the truth ratio; a greedy answer for ROUGE), three ways:
- ours: one forward for each group of similar lengths serves every teacher-forced figure, and questions of equal length
  are answered together with a cache;
- left-padded: the same scores, but answers from transformers' generate on a batch padded on the left, as TOFU's code does;
- one by one: a forward for each sequence, and transformers' generate for each question.
fisher: Fisher values of forget05 of every question (LoKU's importance) from one backward pass a batch, beside a plain backward pass
of the same batches, and beside the loop over questions whose values it must equal; in time a token.
memory: peak of resident memory in a process of its own: three unlearning steps of GPT-Neo-125M's shape (random weights), all
weights with AdamW against LoRA of rank 8, above the process that only holds the model.

All must agree. Contenders take turns, so that a busy machine hits all alike; medians of CPU time, and their ratios.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from engines.language import authors
from engines.language.answers import score
from engines.language.generation import answer_questions
from engines.language.loading import LanguageModel, load
from engines.language.prompts import Encoded, encode_prompt
from engines.language.questions import Item

NEW_TOKENS = 24


@dataclass(frozen=True)
class Figures:
    """Losses of all sequences (N,), extraction strength of the answers (Q,), greedy answers (Q)."""

    losses: np.ndarray
    strength: np.ndarray
    answers: list[str]


def evaluation(repeats: int) -> None:
    """All figures of forget05, three ways."""
    model, items = load("authors"), authors.build().corpus("forget05").forget
    rows = sequences(model, items)
    questions = [item.question for item in items]
    ways: dict[str, Callable[[int], Figures]] = {
        "ours": lambda _: ours(model, rows, questions),
        "left-padded": lambda _: left_padded(model, rows, questions),
        "one by one": lambda _: one_by_one(model, rows, questions),
    }
    truth = ways["one by one"](0)
    seconds = take_turns(ways, repeats)
    print(
        f"\nevaluation: {len(items)} questions, {len(rows)} scored sequences, {NEW_TOKENS} new tokens at most"
    )
    for name, value in seconds.items():
        found = ways[name](0)
        same = sum(a == b for a, b in zip(found.answers, truth.answers, strict=True))
        error = float(np.abs(found.losses - truth.losses).max())
        print(
            f"  {name:12s} {1000 * value:9.1f} ms  x {value / seconds['ours']:.2f}   same answers {same}/{len(items)}, "
            f"largest difference of a loss {error:.1e} nats, of an extraction strength "
            f"{float(np.abs(found.strength - truth.strength).max()):.1e}"
        )


def sequences(model: LanguageModel, items: tuple[Item, ...]) -> list[Encoded]:
    """Seven sequences a question: answer, paraphrase, five wrong options."""
    return [
        model.encode(item.question, text)
        for item in items
        for text in (item.answer, item.paraphrased_answer, *item.wrong)
    ]


def ours(model: LanguageModel, rows: list[Encoded], questions: list[str]) -> Figures:
    """The family layer's own way."""
    scored = score(model.model, rows, pad=model.pad)
    told = answer_questions(
        model.model,
        model.tokenizer,
        model.template,
        questions,
        max_new_tokens=NEW_TOKENS,
        context=model.context,
    )
    return Figures(
        np.array([s.nll for s in scored]),
        np.array([s.extraction_strength for s in scored[::7]]),
        [a.text for a in told],
    )


@torch.no_grad()
def left_padded(model: LanguageModel, rows: list[Encoded], questions: list[str]) -> Figures:
    """Our scores, and one padded batch for transformers' generate."""
    scored = score(model.model, rows, pad=model.pad)
    prompts = [encode_prompt(model.tokenizer, model.template, question) for question in questions]
    width = max(map(len, prompts))
    ids = torch.tensor([[model.pad] * (width - len(p)) + list(p) for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    out = model.model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=NEW_TOKENS, do_sample=False)
    return Figures(
        np.array([s.nll for s in scored]),
        np.array([s.extraction_strength for s in scored[::7]]),
        [model.tokenizer.decode(row[width:], skip_special_tokens=True).strip() for row in out],
    )


@torch.no_grad()
def one_by_one(model: LanguageModel, rows: list[Encoded], questions: list[str]) -> Figures:
    """A forward for each sequence, a generate for each question."""
    losses, strength, told = [], [], []
    for k, row in enumerate(rows):
        ids = torch.tensor([row.ids])
        logits = model.model(input_ids=ids, use_cache=False).logits[0, row.start - 1 : -1].float()
        targets = ids[0, row.start :]
        losses.append(float(torch.nn.functional.cross_entropy(logits, targets)))
        if k % 7 == 0:
            wrong = (logits.argmax(1) != targets).nonzero()
            strength.append(1 - (int(wrong[-1]) + 1 if len(wrong) else 0) / len(targets))
    for question in questions:
        ids = torch.tensor([encode_prompt(model.tokenizer, model.template, question)])
        out = model.model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW_TOKENS, do_sample=False
        )
        told.append(model.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True).strip())
    return Figures(np.array(losses), np.array(strength), told)


def take_turns(work: dict[str, Callable[[int], object]], repeats: int) -> dict[str, float]:
    """Median CPU seconds of each piece of work, one after the other in every round."""
    taken: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(repeats + 1):
        for name, do in work.items():
            before = time.process_time()
            do(turn)
            if turn >= 1:  # the first round warms up
                taken[name].append(time.process_time() - before)
    return {name: statistics.median(values) for name, values in taken.items()}


def fisher(repeats: int) -> None:
    """Importance of every question in one pass, against a plain backward pass."""
    from engines.language.loku.method import FisherMeter
    from engines.language.prompts import collate

    model = load("authors")
    rows = [model.encode(item.question, item.answer) for item in authors.build().corpus("forget05").forget]
    batches = [collate(rows[start : start + 50], model.pad) for start in range(0, len(rows), 50)]
    singles = [collate([row], model.pad) for row in rows]
    tokens = sum(len(row.ids) for row in rows)

    def ours(_: int) -> dict[str, torch.Tensor]:
        meter = FisherMeter(model.model, model.targets)
        for batch in batches:
            meter.add(batch)
        return meter.values()

    def plain(_: int) -> None:
        for batch in batches:
            model.model.zero_grad()
            model.model(**batch.inputs(), labels=batch.labels, use_cache=False).loss.backward()
        model.model.zero_grad()

    def loop(_: int) -> dict[str, torch.Tensor]:
        meter = FisherMeter(model.model, model.targets)
        for batch in singles:
            meter.add(batch)
        return meter.values()

    seconds = take_turns({"plain backward": plain, "ours": ours, "one by one": loop}, repeats)
    first, second = ours(0), loop(0)
    error = max(float((first[n] - second[n]).abs().max() / second[n].abs().max()) for n in first)
    print(
        f"\nfisher: {len(rows)} questions, {tokens} tokens; largest relative difference of a value {error:.1e}"
    )
    for name, value in seconds.items():
        print(
            f"  {name:15s} {1e6 * value / tokens:8.1f} us a token  x {value / seconds['plain backward']:.2f}"
        )


def memory(repeats: int) -> None:
    """Peak memory of unlearning, each way in a process of its own."""
    print("\nmemory: three steps of IHL, GPT-Neo-125M's shape, 4 + 4 questions of 64 tokens")
    peaks = {way: _peak_mib(way) for way in ("model alone", "LoRA", "all weights")}
    for way, peak in peaks.items():
        above = peak - peaks["model alone"]
        print(f"  {way:12s} {peak:8.0f} MiB, {above:8.0f} above the model alone")
    print(
        f"  all weights / LoRA above the model: {(peaks['all weights'] - peaks['model alone']) / (peaks['LoRA'] - peaks['model alone']):.1f}"
    )


def _peak_mib(way: str) -> float:
    """Largest resident memory of a process that unlearns that way, MiB."""
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import language; language.unlearn({way!r})"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True, text=True
    )
    return float(done.stdout.split()[-1])


def unlearn(way: str) -> None:
    """Three unlearning steps, or only the model; prints the peak of this process in MiB."""
    import resource

    from transformers import GPTNeoConfig, GPTNeoForCausalLM

    from engines.language.loku.starts import AdapterSettings, with_adapters
    from engines.language.loku.unlearning import Questions, Settings, Unlearner

    torch.manual_seed(0)
    config = GPTNeoConfig(hidden_size=768, num_layers=12, num_heads=12, attention_types=[[["global"], 12]])
    model: torch.nn.Module = GPTNeoForCausalLM(config).eval()
    rows = [Encoded(tuple(torch.randint(1, 50000, (64,)).tolist()), 16) for _ in range(12)]
    if way == "LoRA":
        targets = ("q_proj", "k_proj", "v_proj", "out_proj", "c_fc", "c_proj")
        model = with_adapters(model, AdapterSettings(8, 16, targets), seed=0)
    if way != "model alone":
        unlearner = Unlearner(model, Questions(rows, rows), Settings(batch=4, epochs=1), pad=0, seed=0)
        for _ in range(3):
            unlearner.step()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


PARTS: dict[str, Callable[[int], None]] = {"evaluation": evaluation, "fisher": fisher, "memory": memory}


def main() -> None:
    """The parts one after the other, with the machine."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=tuple(PARTS), default=None)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    load_now = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {args.threads} thread(s), torch {torch.__version__}, "
        f"load {load_now}"
    )
    for name, part in PARTS.items():
        if args.only in (None, name):
            part(args.repeats)


if __name__ == "__main__":
    main()
