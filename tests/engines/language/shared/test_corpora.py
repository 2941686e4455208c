"""TOFU, TDEC and a user's own lines as corpora; what is wrong with a file is said with its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from engines.contract import Refusal
from engines.language import authors, corpora
from engines.language.authors import embedded
from engines.language.rows import read_rows

TOKENIZER = embedded.build_tokenizer(authors.build())


def lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n")
    return path


def qa(k: int, **more: Any) -> dict[str, Any]:
    return {"question": f"Question {k}?", "answer": f"Answer {k}.", **more}


def test_own_lines_in_two_files(tmp_path: Path) -> None:
    forget = lines(tmp_path / "mine.jsonl", [qa(1), "", qa(2, wrong=["No.", "Never."], fact="2")])
    retain = lines(tmp_path / "keep.jsonl", [qa(3), qa(4, split="world_facts"), qa(5, split="keep")])
    corpus = corpora.own_corpus(forget, retain)
    assert [item.question for item in corpus.forget] == ["Question 1?", "Question 2?"]
    assert [item.question for item in corpus.retain] == ["Question 3?", "Question 5?"]
    assert [item.question for item in corpus.world_facts] == ["Question 4?"]
    assert corpus.forget[1].wrong == ("No.", "Never.")
    assert corpus.notices == ()
    assert corpus.refusals
    besides = authors.build().corpus("forget01")
    assert corpora.own_corpus(forget, retain, besides).known_authors == besides.known_authors


def test_one_file_with_both_splits_in_every_format(tmp_path: Path) -> None:
    rows = [qa(1, split="forget"), qa(2, split="retain")]
    lines(tmp_path / "a.jsonl", rows)
    (tmp_path / "a.json").write_text(json.dumps(rows))
    (tmp_path / "a.csv").write_text(
        "question,answer,split\nQuestion 1?,Answer 1.,forget\nQuestion 2?,Answer 2.,retain\n"
    )
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    found = [
        corpora.own_corpus(tmp_path / f"a{ending}") for ending in (".jsonl", ".json", ".csv", ".parquet")
    ]
    assert found[1:] == found[:-1]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["{"], "line 1 is not JSON"),
        ([qa(1), "", "[1]"], "line 3 must be an object"),
        ([qa(1), {"question": "Q?"}], "line 2 needs 'answer', a text that is not empty; got nothing"),
        ([{"question": 3, "answer": "A"}], "line 1 needs 'question'.*got 3"),
        ([qa(1, answr="x")], "line 1 has no use for 'answr'; known names: question, answer"),
        ([qa(1, split="forgett")], "line 1 needs 'split', one of forget, retain.*got 'forgett'"),
        ([qa(1, wrong="x")], "line 1 has 'wrong' that is not a list of texts"),
        ([qa(1, fact=5)], "line 1 has 'fact' that is not a text"),
        ([qa(1), qa(2), qa(1)], "line 3 asks again what line 1 asks"),
        ([], "holds no line"),
        ([qa(1, split="retain")], "no line is to be forgotten"),
        ([qa(1)], "no line is to be kept"),
    ],
)
def test_bad_lines_are_one_sentence(rows: list[Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=words) as caught:
        corpora.own_corpus(lines(tmp_path / "mine.jsonl", rows))
    assert str(tmp_path) not in caught.value.sentence
    assert caught.value.sentence.endswith(".")


def test_bad_files_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(name: str, content: bytes | None, words: str) -> None:
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(Refusal, match=words) as caught:
            read_rows(path, "forget")
        assert caught.value.field == "forget"

    refused("a.txt", b"", "must be a file ending in")
    refused("b.jsonl", None, "there is no file")
    refused("c.jsonl", b"\xff\xfe\x00", "not text in UTF-8")
    refused("d.parquet", b"PAR1", "not a Parquet file")
    refused("e.csv", b"question,answer\nonly one\n", "line 2 has another number of cells")
    refused("f.json", b"[1, 2", "the file is not JSON")
    refused("g.jsonl", b"[" * 100_000, "not JSON")
    monkeypatch.setattr("engines.language.rows.LIMIT_BYTES", 10)
    refused("h.jsonl", b'{"question": "long enough"}', "at most 64 MB")


def test_a_line_separator_inside_a_text_is_no_new_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"question": "a\u2028b?", "answer": "A."}\n{"question": "c?", "answer": "A."}\n')
    assert [row.line for row in read_rows(path, "forget")] == [1, 2]


def test_questions_to_be_forgotten_and_kept_are_named(tmp_path: Path) -> None:
    corpus = corpora.own_corpus(
        lines(tmp_path / "f.jsonl", [qa(k) for k in range(5)]),
        lines(tmp_path / "r.jsonl", [qa(k) for k in range(1, 9)]),
    )
    assert corpus.notices == (
        "4 question(s) are to be forgotten and to be kept at once: 'Question 1?'; 'Question 2?'; 'Question 3?' and "
        "1 more.",
    )


def write_tofu(folder: Path, *, perturbed: bool = True, ending: str = ".json") -> Path:
    """A folder with TOFU's files in small: 2 questions to forget, 3 to keep, 2 real authors, 1 world fact."""
    folder.mkdir()
    more = {"paraphrased_answer": "Said otherwise.", "perturbed_answer": ["W1", "W2", "W3", "W4", "W5"]}
    files = {"forget10": [qa(1), qa(2)], "retain90": [qa(3), qa(4), qa(5)]}
    if perturbed:
        files["forget10_perturbed"] = [qa(2, paraphrased_question="P?", **more), qa(1, **more)]
        files["retain_perturbed"] = [qa(4, **more)]
        files["real_authors_perturbed"] = [qa(6, perturbed_answer=["W"]), qa(7, perturbed_answer=["W"])]
        files["world_facts_perturbed"] = [qa(8, perturbed_answer=["W"])]
    for name, rows in files.items():
        if ending == ".json":
            lines(folder / f"{name}.json", rows)
        else:
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / f"{name}.parquet")
    return folder


@pytest.mark.parametrize("ending", [".json", ".parquet"])
def test_tofu_from_a_folder(tmp_path: Path, ending: str) -> None:
    corpus = corpora.tofu("forget10", write_tofu(tmp_path / "tofu", ending=ending))
    assert [len(items) for _, items in corpus.splits()] == [2, 3, 2, 1]
    assert [item.answer for item in corpus.forget] == ["Answer 1.", "Answer 2."]
    assert all(len(item.wrong) == 5 for item in corpus.forget)
    assert corpus.forget[1].paraphrased_question == "P?"
    assert [bool(item.wrong) for item in corpus.retain] == [False, True, False]
    assert corpus.world_facts[0].wrong == ("W",)
    assert corpus.notices == ()


def test_tofu_without_wrong_options_says_what_is_missing(tmp_path: Path) -> None:
    corpus = corpora.tofu("forget10", write_tofu(tmp_path / "tofu", perturbed=False))
    assert "world_facts_perturbed" in corpus.notices[0]
    assert corpus.forget[0].wrong == ()
    with pytest.raises(Refusal, match=r"forget05\.json"):
        corpora.tofu("forget05", tmp_path / "tofu")
    with pytest.raises(Refusal, match="there is no folder 'nowhere'"):
        corpora.tofu("forget10", tmp_path / "nowhere")
    with pytest.raises(Refusal, match="must be one of forget01, forget05, forget10; got 'forget20'"):
        corpora.tofu("forget20", tmp_path / "tofu")


def test_tofu_from_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    folder = write_tofu(tmp_path / "hub")
    asked: list[tuple[str, str]] = []

    def download(repository: str, name: str, *, repo_type: str, etag_timeout: float) -> str:
        asked.append((repository, repo_type))
        return str(folder / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert corpora.tofu("forget10") == corpora.tofu("forget10", folder)
    assert set(asked) == {("locuslab/TOFU", "dataset")}

    def offline(*_args: Any, **_options: Any) -> str:
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    with pytest.raises(Refusal, match="connect this machine to the hub"):
        corpora.tofu("forget10")


def test_tdec_from_texts_and_from_token_ids(tmp_path: Path) -> None:
    texts = [f"Text number {k} with some words." for k in range(12)]
    (tmp_path / "t.csv").write_text(
        "doc_id,text\n" + "\n".join(f"{k},{text}" for k, text in enumerate(texts)) + "\n"
    )
    corpus = corpora.tdec(tmp_path / "t.csv", TOKENIZER, count=4, seed=1, retain=5)
    assert len(corpus.forget) == 4
    assert len(corpus.retain) == 5
    assert not {item.answer for item in corpus.forget} & {item.answer for item in corpus.retain}
    assert all(item.question == "" and item.answer in texts for item in corpus.forget)
    assert corpora.tdec(tmp_path / "t.csv", TOKENIZER, count=4, seed=2).forget != corpus.forget

    ids = [TOKENIZER(text)["input_ids"] for text in texts]
    width = min(len(row) for row in ids)
    np.save(tmp_path / "t.npy", np.array([row[:width] for row in ids], dtype=np.uint16))
    decoded = corpora.tdec(tmp_path / "t.npy", TOKENIZER, count=4)
    assert all(any(text.startswith(item.answer) for text in texts) for item in decoded.forget)

    np.save(tmp_path / "flat.npy", np.zeros(3))
    np.save(tmp_path / "large.npy", np.full((40, 3), 50_000))
    for name, words in (("flat.npy", "texts x tokens"), ("large.npy", "holds token 50000")):
        with pytest.raises(Refusal, match=words):
            corpora.tdec(tmp_path / name, TOKENIZER)
    with pytest.raises(Refusal, match="12 texts; 32 to forget"):
        corpora.tdec(tmp_path / "t.csv", TOKENIZER)


def test_how_foreign_a_text_is_to_a_tokenizer() -> None:
    world = authors.build()
    assert corpora.words_unknown_to(TOKENIZER, world.items[0]) == 0.0
    foreign = [corpora.Item("?", "Die Donaudampfschifffahrt fährt stromaufwärts")]
    assert corpora.words_unknown_to(TOKENIZER, foreign) > 0.7
    assert corpora.words_unknown_to(TOKENIZER, []) == 0.0
