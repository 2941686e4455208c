"""The whole engine on the embedded model: a run, its record's figures, what it kept, and the user's own lines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engines.contract import Context, Refusal
from engines.events import Alert, Array, ClaimCheck, File, Scalar, Table, Text
from engines.language import authors
from engines.language.loku import ENGINE
from engines.language.loku.contenders import Contender, contenders, tuned_rate, tuning
from engines.language.loku.experiment import answer
from engines.language.loku.tuning import DEFAULT, RATES, next_rate
from engines.validation import Refused, validate
from storage import Record, Store
from ui.figures import resolve
from ui.tabs.language.loku import VIEW

SMOKE = {**ENGINE.preset("smoke")}


def run(scratch: Path, inputs: dict[str, Path] | None = None, seed: int = 0, **values):
    params = validate(ENGINE.params, {**SMOKE, **values})
    ENGINE.check(params, inputs or {})
    return list(ENGINE.run(params, Context("cpu", seed, scratch, inputs or {})))


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="module")
def events(scratch: Path):
    return run(scratch)


def table(events, name: str) -> Table:
    return [e for e in events if isinstance(e, Table) and e.name == name][-1]


def column(found: Table, name: str) -> dict[str, object]:
    at = list(found.columns).index(name)
    return {str(row[0]): row[at] for row in found.rows}


def test_everybody_starts_from_the_same_model_and_fila_does_not_change_it(events) -> None:
    start = {
        e.series: e.value
        for e in events
        if isinstance(e, Scalar) and e.name == "model utility" and e.step == 0
    }
    assert {start[s] for s in ("before", "IHL + FILA", "IHL", "GA", "GradDiff")} == {start["before"]}
    claim = next(e for e in events if isinstance(e, ClaimCheck) and e.key == "preserved")
    assert claim.holds
    assert claim.measured < 1e-3
    assert [e.key for e in events if isinstance(e, ClaimCheck)] == [claim.key for claim in ENGINE.claims]


def test_the_tables_agree_with_the_curves(events) -> None:
    results, parts = table(events, "Where they ended"), table(events, "Parts of the utility")
    assert column(results, "model")["before"] == "before"
    last = {e.series: e.value for e in events if isinstance(e, Scalar) and e.name == "model utility"}
    for series, utility in column(results, "model utility").items():
        assert utility == pytest.approx(last[series])
        row = next(row for row in parts.rows if row[0] == series)
        assert utility == pytest.approx(len(row[1:-1]) / sum(1 / v for v in row[1:-1]))
        assert len(row[1:-1]) == 9
    p = column(results, "forget quality p")
    assert p["retain only"] == pytest.approx(1)
    assert p["before"] < 1e-3
    cost = table(events, "seconds and memory")
    held, peak = (
        column(cost, name)
        for name in ("weights, gradients, optimizer, MiB", "peak memory of a step, MiB (counted)")
    )
    assert all(peak[name] > held[name] for name in held)
    assert set(column(cost, "share of the model").values()) < {v for v in column(cost, "share of the model").values() if v < 0.2} | {0}  # fmt: skip


def test_kept_models_answer_as_they_did_in_the_run(events, scratch: Path) -> None:
    files = [e.path for e in events if isinstance(e, File)]
    assert len(files) == 4
    probes = table(events, "Probes")
    names = list(probes.columns[3:])
    for row in (probes.rows[0], probes.rows[-1]):
        told = {r[0]: r[1] for r in answer(files, str(row[1])).rows}
        for name, text in zip(names, row[3:], strict=True):
            if name != "retain only":
                assert told[name].removesuffix(" …").startswith(str(text)[:20]) or told[name] == text
    with pytest.raises(Refusal, match="question"):
        answer(files, " ")


def recorded(tmp_path: Path, events) -> Record:
    store = Store.open(f"sqlite:///{tmp_path}/db.sqlite", f"file://{tmp_path}/artifacts")
    made = store.create_run(engine="loku", params=SMOKE, seed=0, headline=ENGINE.headline)
    with store.writer(made.id) as writer:
        for e in events:
            if isinstance(e, Scalar):
                writer.scalar(e.series, e.name, e.step, e.value, 0.0)
            elif isinstance(e, Array):
                writer.array(e.name, e.step, e.values, [(a.name, list(a.values)) for a in e.axes], e.keep)
            elif isinstance(e, Table):
                writer.table(e.name, e.columns, e.rows)
        writer.flush()
    return store.record(made.id)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_all_figures_build(tmp_path: Path, events, share: float) -> None:
    record = recorded(tmp_path, events[: int(share * len(events))])
    for spec in VIEW.specs(SMOKE, record):
        figure = spec.build(record)
        json.dumps(figure)
        assert resolve(figure, "dark")["layout"]
        if share == 1.0:
            assert figure["data"], spec.key


def test_figures_read_what_the_experiment_tells(events) -> None:
    told = {f"series:{e.name}" for e in events if isinstance(e, Scalar)}
    told |= {f"array:{e.name}" for e in events if isinstance(e, Array)}
    told |= {f"table:{e.name}" for e in events if isinstance(e, Table)}
    for spec in VIEW.figures:
        for pattern in spec.reads:
            assert any(
                name == pattern or (pattern.endswith("*") and name.startswith(pattern[:-1])) for name in told
            ), pattern
    assert {VIEW.lead, *VIEW.tables} == {e.name for e in events if isinstance(e, Table)}


def test_own_lines(tmp_path: Path) -> None:
    corpus = authors.build().corpus("forget05")
    forget, retain = tmp_path / "mine.jsonl", tmp_path / "keep.jsonl"
    forget.write_text(
        "\n".join(json.dumps({"question": i.question, "answer": i.answer}) for i in corpus.forget[:8])
    )
    retain.write_text(
        "\n".join(json.dumps({"question": i.question, "answer": i.answer}) for i in corpus.retain[:8])
    )
    inputs = {"forget": forget, "retain": retain}
    marks = {"forget": f"sha256:{'0' * 64}/mine.jsonl", "retain": f"sha256:{'1' * 64}/keep.jsonl"}
    events = run(tmp_path, inputs, losses=("ihl",), batch=4, relearn_steps=0, **marks)
    assert "half of the accuracy before" in next(
        e.value for e in events if isinstance(e, Text) and e.name == "threshold"
    )
    assert column(table(events, "Where they ended"), "forget quality p")["before"] is None
    decided = {e.key: e.holds for e in events if isinstance(e, ClaimCheck)}
    assert decided["quality"] is None
    assert "utility" not in decided, "there is nobody to compare with"
    forget.write_text('{"question": "Who?"}')
    with pytest.raises(Refusal, match="answer"):
        ENGINE.check(validate(ENGINE.params, marks), inputs)


def test_unusual_settings_are_said(tmp_path: Path) -> None:
    chosen = authors.build().names[:2]
    events = run(
        tmp_path,
        losses=("ihl",),
        starts=("lora",),
        rank=256,
        names=", ".join(chosen),
        relearn_steps=0,
        batch=20,
        stop="never",
    )
    alerts = {e.name: e.message for e in events if isinstance(e, Alert)}
    assert "from 256 to 128" in alerts["rank lowered"]
    assert "never met" in next(e.value for e in events if isinstance(e, Text) and e.name == "threshold")
    events = run(tmp_path, losses=("ihl",), starts=("lora",), stop_accuracy=1.0, relearn_steps=0)
    assert any(e.name == "nothing to forget" for e in events if isinstance(e, Alert))


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"model": "/no/such/model"}, "model"),
        ({"twin": "/no/such/twin"}, "twin"),
        ({"names": "Nobody At All"}, "names"),
        ({"names": ", ".join(authors.build().names)}, "names"),
        ({"corpus": "tofu", "corpus_path": "/no/such/folder"}, "corpus_path"),
    ],
)
def test_what_cannot_be_had_is_refused_before_a_run(values, field: str) -> None:
    with pytest.raises((Refusal, Refused)) as caught:
        ENGINE.check(validate(ENGINE.params, {**SMOKE, **values}), {})
    assert getattr(caught.value, "field", field) == field


@pytest.mark.parametrize(
    "values",
    [
        {"losses": ("ihl", "ihl")},
        {"min_epochs": 5},
        {"retain": f"sha256:{'1' * 64}/keep.jsonl"},
        {"corpus": "tdec"},
        {"corpus": "tdec", "corpus_path": "x", "losses": ("dpo",)},
        {"names": "x", "corpus": "tofu"},
    ],
)
def test_combinations_that_cannot_work(values) -> None:
    with pytest.raises((Refused, Refusal)):
        validate(ENGINE.params, {**SMOKE, **values})


def test_an_unknown_target_lists_the_layers(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="c_fc"):
        run(tmp_path, targets="nonsense")


def test_contenders_and_their_rates() -> None:
    found = contenders(("ga", "ihl"), ("lora", "fila"), ("lora", "full"))
    assert [c.series for c in found] == ["IHL + FILA", "IHL", "GA", "GA, all weights"]
    for key, grid in tuning()["grid"].items():
        rate = tuned_rate(Contender(*key.split("+")))
        in_time = [found["utility"] for found in grid.values() if found["in time"]]
        if in_time:
            assert grid[f"{rate:g}"]["in time"]
            assert grid[f"{rate:g}"]["utility"] == max(in_time)
        assert next_rate(grid) is None, f"the grid of {key} was not finished"
    assert tuned_rate(Contender("rmu", "pissa")) is None


def test_a_grid_grows_while_its_best_rate_lies_on_its_edge() -> None:
    def found(utility: float, in_time: bool = True) -> dict[str, object]:
        return {"utility": utility, "forget accuracy": 1 - utility, "reached": in_time, "in time": in_time}

    grid = {f"{rate:g}": found(0.5 - 10 * rate) for rate in RATES[:2]}
    assert next_rate(grid) == RATES[2], "all try the same rates first"
    grid |= {f"{rate:g}": found(0.5 - 10 * rate) for rate in RATES[2:]}
    assert next_rate(grid) == RATES[0] / 2
    assert next_rate({**grid, f"{RATES[0] / 2:g}": found(0.9, in_time=False)}) is None, (
        "too slow is not better"
    )
    assert next_rate({**grid, f"{RATES[0] / 2:g}": found(0.6)}) == RATES[0] / 4
    assert next_rate({**grid, "0.0005": found(0.6), "0.00025": found(0.7)}) is None, "twice at most"
    never = {f"{rate:g}": found(20 * rate, in_time=False) for rate in RATES}
    assert next_rate(never) == 2 * RATES[-1], "where nothing reaches the threshold, what forgets most is best"


def test_every_contender_of_the_default_preset_is_tuned() -> None:
    params = validate(ENGINE.params, {})
    chosen = contenders(params.losses, params.starts, params.baseline_starts)
    assert {c.key for c in chosen} == set(DEFAULT) <= set(tuning()["grid"])


def test_values_are_plain(events) -> None:
    for e in events:
        if isinstance(e, ClaimCheck):
            assert e.holds is None or type(e.holds) is bool
        if isinstance(e, Scalar):
            assert type(e.value) in (float, int), e.name
        if isinstance(e, Table):
            assert not any(isinstance(cell, np.generic) for row in e.rows for cell in row), e.name
