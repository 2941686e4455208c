"""Corpora from outside: TOFU, TDEC, and a user's own lines, all as a `Corpus`.

Whatever is wrong with a file is said in one sentence that names the file and the line.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from engines.contract import Refusal
from engines.devices import numpy_generator
from engines.language.authors.words import REFUSALS
from engines.language.questions import SPLITS, Corpus, Item
from engines.language.rows import Row, read_rows

TOFU_ID = "locuslab/TOFU"
TOFU_RETAIN = {"forget01": "retain99", "forget05": "retain95", "forget10": "retain90"}
TOFU_SOURCE = "TOFU (locuslab/TOFU, arXiv 2401.06121, MIT)"
TDEC_SOURCE = (
    "training data extraction challenge (google-research/lm-extraction-benchmark): texts of the Pile"
)
OWN_COLUMNS = ("question", "answer", "split", "paraphrased_question", "paraphrased_answer", "wrong", "fact")
OWN_SPLITS = {**{name: name for name in SPLITS}, "keep": "retain"}


def own_lines(path: Path, field: str, split: str | None = None) -> dict[str, list[Item]]:
    """Items of a user's file by split: JSON lines (or CSV, Parquet) with `question` and `answer`, `split` (forget,
    retain or keep, known_authors, world_facts; not needed where the caller names one), and if there are any
    `paraphrased_question`, `paraphrased_answer`, `wrong` (a list of answers that are not true), `fact`.

    Raises `Refusal` with the number of the line."""
    found: dict[str, list[Item]] = {}
    seen: dict[tuple[str, str], int] = {}
    for row in read_rows(path, field):
        unknown = [name for name in row.values if name not in OWN_COLUMNS]
        if unknown:
            raise row.refusal(
                field, f"has no use for {unknown[0][:40]!r}; known names: {', '.join(OWN_COLUMNS)}"
            )
        item = _item(row, field)
        where = split if split is not None and row.values.get("split") is None else _split(row, field)
        before = seen.setdefault((item.question, where), row.line)
        if before != row.line:
            raise row.refusal(
                field, f"asks again what line {before} asks ({item.question[:60]!r}); keep one of them"
            )
        found.setdefault(where, []).append(item)
    if not found:
        raise Refusal(
            field, f"{field}: the file holds no line; write one question and answer to forget a line."
        )
    return found


def _item(row: Row, field: str) -> Item:
    texts = {}
    for name in ("question", "answer"):
        value = row.values.get(name)
        if not isinstance(value, str) or not value.strip():
            raise row.refusal(field, f"needs {name!r}, a text that is not empty; got {_shown(value)}")
        texts[name] = value.strip()
    for name in ("paraphrased_question", "paraphrased_answer", "fact"):
        value = row.values.get(name) or ""
        if not isinstance(value, str):
            raise row.refusal(field, f"has {name!r} that is not a text; got {_shown(value)}")
        texts[name] = value.strip()
    wrong = row.values.get("wrong") or []
    if not isinstance(wrong, list) or not all(isinstance(text, str) and text.strip() for text in wrong):
        raise row.refusal(field, f"has 'wrong' that is not a list of texts; got {_shown(wrong)}")
    return Item(wrong=tuple(text.strip() for text in wrong), **texts)


def _split(row: Row, field: str) -> str:
    value = row.values.get("split")
    if value not in OWN_SPLITS:
        raise row.refusal(field, f"needs 'split', one of {', '.join(OWN_SPLITS)}; got {_shown(value)}")
    return OWN_SPLITS[value]


def own_corpus(forget: Path, retain: Path | None = None, besides: Corpus | None = None) -> Corpus:
    """The task of a user's files: `forget` with lines to forget, and with `split` lines of any split; `retain` with
    lines to keep. `besides` gives well-known authors and world facts where the files have none.

    Raises `Refusal` where nothing is to be forgotten or nothing is to be kept; questions that are in both splits are
    named in a notice."""
    splits = own_lines(forget, "forget", "forget")
    if retain is not None:
        for name, items in own_lines(retain, "retain", "retain").items():
            splits.setdefault(name, []).extend(items)
    if not splits.get("forget"):
        raise Refusal("forget", "forget: no line is to be forgotten; give lines with split forget.")
    if not splits.get("retain"):
        raise Refusal(
            "retain",
            "retain: no line is to be kept; give a file of questions that must stay, or lines with split retain.",
        )
    known = splits.get("known_authors") or (besides.known_authors if besides else ())
    facts = splits.get("world_facts") or (besides.world_facts if besides else ())
    return Corpus(
        name="yours",
        forget=tuple(splits["forget"]),
        retain=tuple(splits["retain"]),
        known_authors=tuple(known),
        world_facts=tuple(facts),
        refusals=REFUSALS,
        source="your own lines",
        notices=overlap_notices(splits["forget"], splits["retain"]),
    )


def overlap_notices(forget: Sequence[Item], retain: Sequence[Item]) -> tuple[str, ...]:
    """A sentence about questions that are to be forgotten and kept at once; none where there are none."""
    kept = {(item.question, "" if item.question else item.answer) for item in retain}
    both = [item for item in forget if (item.question, "" if item.question else item.answer) in kept]
    if not both:
        return ()
    names = "; ".join(repr((item.question or item.answer)[:60]) for item in both[:3])
    more = f" and {len(both) - 3} more" if len(both) > 3 else ""
    return (f"{len(both)} question(s) are to be forgotten and to be kept at once: {names}{more}.",)


def tofu(split: str, folder: Path | None = None, field: str = "corpus") -> Corpus:
    """TOFU's forget01, forget05 or forget10: from a folder with its files (`forget10.json` in JSON lines, or
    `.parquet`), or from the hub. Wrong options come from the `*_perturbed` files, where they are.

    Retain questions that have wrong options (`retain_perturbed`) come with them. Raises `Refusal`."""
    if split not in TOFU_RETAIN:
        raise Refusal(field, f"{field} must be one of {', '.join(TOFU_RETAIN)}; got {split[:40]!r}.")

    plain = (split, TOFU_RETAIN[split])
    wanted = (
        *plain,
        f"{split}_perturbed",
        "retain_perturbed",
        "real_authors_perturbed",
        "world_facts_perturbed",
    )
    files = {name: _tofu_file(name, folder, field) for name in wanted}
    missing = [name for name, path in files.items() if path is None]
    lost = [name for name in missing if name in plain]
    if lost:
        raise Refusal(
            field,
            f"{field}: TOFU's {lost[0]}.json (or .parquet) is not there; put TOFU's files into one folder.",
        )
    rows = {name: read_rows(path, field) for name, path in files.items() if path is not None}
    return Corpus(
        name=f"tofu/{split}",
        forget=_with_options(rows[split], rows.get(f"{split}_perturbed"), field),
        retain=_with_options(rows[TOFU_RETAIN[split]], rows.get("retain_perturbed"), field),
        known_authors=_with_options(rows.get("real_authors_perturbed", []), None, field),
        world_facts=_with_options(rows.get("world_facts_perturbed", []), None, field),
        refusals=REFUSALS,
        source=TOFU_SOURCE,
        notices=(f"TOFU without {', '.join(missing)}: figures that need them are missing.",)
        if missing
        else (),
    )


def _with_options(rows: Sequence[Row], perturbed: Sequence[Row] | None, field: str) -> tuple[Item, ...]:
    """Items of plain rows, with what the perturbed rows know about the same question."""
    more = {str(row.values.get("question")): row.values for row in perturbed or ()}
    return tuple(
        _tofu_item(row, more.get(str(row.values.get("question")), row.values), field) for row in rows
    )


def _tofu_item(row: Row, more: Mapping[str, Any], field: str) -> Item:
    question, answer = row.values.get("question"), row.values.get("answer")
    if not isinstance(question, str) or not isinstance(answer, str) or not answer.strip():
        raise row.refusal(field, f"needs a 'question' and an 'answer'; got {_shown(row.values)}")
    return Item(
        question=question,
        answer=answer,
        paraphrased_question=str(more.get("paraphrased_question") or ""),
        paraphrased_answer=str(more.get("paraphrased_answer") or ""),
        wrong=tuple(str(text) for text in more.get("perturbed_answer") or ()),
    )


def _tofu_file(name: str, folder: Path | None, field: str) -> Path | None:
    """The file of one of TOFU's configurations, None where it does not exist."""
    if folder is not None:
        if not folder.is_dir():
            raise Refusal(
                field, f"{field}: there is no folder {folder.name!r}; give the folder with TOFU's files."
            )
        choices = [folder / f"{name}{ending}" for ending in (".json", ".jsonl", ".parquet")]
        return next((path for path in choices if path.is_file()), None)
    return hub_file(TOFU_ID, f"{name}.json", field)


def hub_file(repository: str, name: str, field: str) -> Path | None:
    """A file of a dataset on the hub, from the cache where it is there; None where the data set has no such file.
    Raises `Refusal` where the hub does not answer."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(repository, name, repo_type="dataset", etag_timeout=10))
    except Exception as error:  # which HTTP library is below depends on huggingface_hub's version
        if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
            return None
        raise Refusal(
            field,
            f"{field}: {repository} could not be had ({type(error).__name__}): connect this machine to the hub, or "
            "download its files and give their folder.",
        ) from error


def tdec(
    path: Path, tokenizer: Any, *, count: int = 32, seed: int = 0, retain: int = 128, field: str = "corpus"
) -> Corpus:
    """Texts of the training data extraction challenge as items without question.

    `path`: a CSV or JSON lines file with a column `text` (the five sets of 32 of joeljang/knowledge-unlearning), or
    the benchmark's `train_dataset.npy` (15,000 x 200 GPT-Neo token ids, decoded with `tokenizer`). `count` texts drawn
    by `seed` are forgotten and up to `retain` others kept. Raises `Refusal`."""
    texts = _tdec_texts(path, tokenizer, field)
    if len(texts) < count + 1:
        raise Refusal(
            field,
            f"{field}: {path.name!r} has {len(texts)} texts; {count} to forget and one to keep are needed.",
        )
    order = [int(i) for i in numpy_generator(seed, "tdec").permutation(len(texts))]
    items = [Item("", texts[i]) for i in order[: count + retain]]
    return Corpus("tdec", tuple(items[:count]), tuple(items[count:]), source=TDEC_SOURCE)


def _tdec_texts(path: Path, tokenizer: Any, field: str) -> list[str]:
    if path.suffix == ".npy":
        import numpy as np

        try:
            ids = np.load(path, allow_pickle=False)
        except (ValueError, OSError) as error:
            raise Refusal(
                field, f"{field}: {path.name!r} is not a NumPy file of numbers; give train_dataset.npy."
            ) from error
        if ids.ndim != 2 or ids.dtype.kind not in "iu":
            raise Refusal(
                field,
                f"{field}: {path.name!r} must be texts x tokens of whole numbers; got {ids.shape} {ids.dtype}.",
            )
        top = int(ids.max(initial=0))
        if top >= len(tokenizer):
            raise Refusal(
                field,
                f"{field}: {path.name!r} holds token {top}, the model's tokenizer has {len(tokenizer)}; use a GPT-Neo.",
            )
        return [str(text) for text in tokenizer.batch_decode(ids.tolist())]
    texts = []
    for row in read_rows(path, field):
        text = row.values.get("text")
        if not isinstance(text, str) or not text.strip():
            raise row.refusal(field, f"needs 'text', a text that is not empty; got {_shown(text)}")
        texts.append(text)
    return texts


def words_unknown_to(tokenizer: Any, items: Collection[Item]) -> float:
    """Share of the words of the answers that the tokenizer cuts into several tokens: near 1 where a small model has
    never seen the language of the items."""
    words = [word for item in items for word in re.findall(r"\w+", item.answer)]
    if not words:
        return 0.0
    return sum(len(tokenizer(f" {word}", add_special_tokens=False)["input_ids"]) > 1 for word in words) / len(
        words
    )


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
