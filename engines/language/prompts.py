"""How a question is put to a model: the tags of each model family, and the tokens of a question with its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch
    from torch import Tensor

IGNORED = -100
"""Label of a token that carries no loss (transformers' convention)."""

Style = Literal["plain", "llama-2", "chat", "text"]


@dataclass(frozen=True)
class Template:
    """How question and answer are written.

    plain: "Question: ...\\nAnswer: ..." (GPT-Neo, Phi and all base models; TOFU's tags for Phi)
    llama-2: "[INST] ... [/INST] ..." (TOFU's tags for Llama-2 chat)
    chat: the tokenizer's own chat template (Llama-3, Qwen and other instruct models)
    text: the answer alone, for plain text without a question
    """

    style: Style

    def prompt(self, tokenizer: Any, question: str) -> str:
        """Everything before the answer; ends where the model's first answer token is due."""
        if self.style == "text" or not question:
            return ""
        if self.style == "plain":
            return f"Question: {question}\nAnswer:"
        if self.style == "llama-2":
            return f"[INST] {question} [/INST]"
        options = {"enable_thinking": False} if "enable_thinking" in (tokenizer.chat_template or "") else {}
        return str(
            tokenizer.apply_chat_template(
                [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True, **options
            )
        )

    @property
    def gap(self) -> str:
        """What stands between prompt and answer."""
        return " " if self.style in ("plain", "llama-2") else ""

    @property
    def adds_special_tokens(self) -> bool:
        """Whether the tokenizer adds its start mark (a chat template writes its own)."""
        return self.style != "chat"


def template_for(model_type: str, tokenizer: Any, name: str = "") -> Template:
    """The template of a model family: `model_type` of its configuration, `name` its id or folder name.

    Llama-2's chat models get TOFU's tags; any other tokenizer with a chat template gets that; the rest "plain"."""
    if model_type == "llama" and "llama-2" in name.lower().replace("llama2", "llama-2"):
        return Template("llama-2")
    if getattr(tokenizer, "chat_template", None):
        return Template("chat")
    return Template("plain")


@dataclass(frozen=True)
class Encoded:
    """Tokens of one prompt with its answer.

    ids: all tokens; start: index of the first answer token; the answer (with its end mark) is ids[start:]
    fact: for each answer token, whether it carries the fact
    cut: whether the answer had to be cut off at the context length
    """

    ids: tuple[int, ...]
    start: int
    fact: tuple[bool, ...] = ()
    cut: bool = False

    @property
    def prompt(self) -> tuple[int, ...]:
        return self.ids[: self.start]

    @property
    def answer(self) -> tuple[int, ...]:
        return self.ids[self.start :]


def encode_prompt(tokenizer: Any, template: Template, question: str) -> tuple[int, ...]:
    """Tokens of the prompt alone, at least one (a start or end mark where the text is empty)."""
    text = template.prompt(tokenizer, question)
    ids = list(tokenizer(text, add_special_tokens=template.adds_special_tokens)["input_ids"]) if text else []
    while template.adds_special_tokens and ids and ids[-1] in _ends(tokenizer):
        ids.pop()  # some tokenizers end every text; the answer is still to come
    if ids:
        return tuple(ids)
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return (int(first),)


def encode(
    tokenizer: Any, template: Template, question: str, answer: str, *, context: int, fact: str = ""
) -> Encoded:
    """Tokens of question and answer, the end mark last, at most `context` of them.

    The tokens before the answer are those that generation starts from. Raises ValueError where the answer is empty
    or the prompt alone leaves no room for an answer token."""
    if not answer.strip():
        raise ValueError(f"the answer to {question[:80]!r} is empty")
    prompt = encode_prompt(tokenizer, template, question)
    if len(prompt) >= context:
        raise ValueError(
            f"the question {question[:60]!r}... takes {len(prompt)} tokens; the model reads {context}"
        )
    told, offset = _continuation(tokenizer, template, question, answer, prompt)
    marks = _fact_tokens(told["offset_mapping"], offset, answer, fact) if fact else [False] * len(told["ids"])
    ids = [*told["ids"], int(tokenizer.eos_token_id)]
    marks = [*marks, False]
    room = context - len(prompt)
    return Encoded((*prompt, *ids[:room]), len(prompt), tuple(marks[:room]), len(ids) > room)


def _continuation(
    tokenizer: Any, template: Template, question: str, answer: str, prompt: tuple[int, ...]
) -> tuple[dict[str, list[Any]], int]:
    """Answer tokens with their character spans, and where the answer begins in the text the spans count in.

    Prompt and answer are tokenized as one text, as a model meets them. Where that changes the prompt's own tokens
    (a token across the seam), the answer is tokenized by itself instead."""
    before = template.prompt(tokenizer, question)
    fast = bool(tokenizer.is_fast)
    whole = tokenizer(
        before + template.gap + answer if before else answer,
        add_special_tokens=template.adds_special_tokens and bool(before),
        return_offsets_mapping=fast,
    )
    ids = list(whole["input_ids"])
    spans = list(whole["offset_mapping"]) if fast else [(0, 0)] * len(ids)
    while ids and ids[-1] in _ends(tokenizer):  # as above
        ids.pop(), spans.pop()
    if not before:
        return {"ids": ids, "offset_mapping": spans}, 0
    cut = len(prompt)
    if tuple(ids[:cut]) == prompt and len(ids) > cut:
        return {"ids": ids[cut:], "offset_mapping": spans[cut:]}, len(before) + len(template.gap)
    alone = tokenizer(template.gap + answer, add_special_tokens=False, return_offsets_mapping=fast)
    spans = list(alone["offset_mapping"]) if fast else [(0, 0)] * len(alone["input_ids"])
    return {"ids": list(alone["input_ids"]), "offset_mapping": spans}, len(template.gap)


def _ends(tokenizer: Any) -> set[int]:
    return {i for i in (tokenizer.eos_token_id, getattr(tokenizer, "sep_token_id", None)) if i is not None}


def _fact_tokens(spans: Sequence[tuple[int, int]], offset: int, answer: str, fact: str) -> list[bool]:
    """Which tokens overlap the last occurrence of `fact` in the answer."""
    begin = answer.rfind(fact)
    if begin < 0:
        return [False] * len(spans)
    low, high = begin + offset, begin + offset + len(fact)
    return [left < high and right > low and right > left for left, right in spans]


@dataclass(frozen=True)
class Batch:
    """Right-padded tensors (B, T): `ids`, `attention` (1 where a token is real), `labels` (`IGNORED` on prompt and
    padding; not shifted: labels[b, t] belongs to the logits at t - 1, as transformers' own losses have it)."""

    ids: Tensor
    attention: Tensor
    labels: Tensor

    def inputs(self) -> dict[str, Tensor]:
        """Arguments of a model's forward."""
        return {"input_ids": self.ids, "attention_mask": self.attention}

    @property
    def answer_tokens(self) -> int:
        """Number of tokens that carry a loss."""
        return int((self.labels[:, 1:] != IGNORED).sum())


def collate(rows: Sequence[Encoded], pad: int, device: torch.device | str = "cpu") -> Batch:
    """One batch of the rows, padded on the right with the token `pad`. Raises ValueError for no rows."""
    import torch

    if not rows:
        raise ValueError("a batch needs at least one row")
    width = max(len(row.ids) for row in rows)
    ids = torch.full((len(rows), width), pad, dtype=torch.long)
    attention, labels = torch.zeros_like(ids), torch.full_like(ids, IGNORED)
    for b, row in enumerate(rows):
        tokens = torch.tensor(row.ids)
        ids[b, : len(tokens)] = tokens
        attention[b, : len(tokens)] = 1
        labels[b, row.start : len(tokens)] = tokens[row.start :]
    return Batch(ids.to(device), attention.to(device), labels.to(device))
