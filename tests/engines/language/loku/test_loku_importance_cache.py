"""The cache of importances: what it depends on, files that are broken, runs at the same time, its limit."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from loku_models import rows, tiny_neo

from engines.language.loku import importance_cache
from engines.language.loku.method import FisherMeter

TARGETS = ("c_fc", "q_proj")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path))
    return tmp_path / "importance"


def values(scale: float = 1.0) -> dict[str, torch.Tensor]:
    return {"a.c_fc": torch.full((4, 3), scale), "b.q_proj": torch.arange(6.0).reshape(2, 3) * scale}


def test_what_is_written_is_read_bit_for_bit() -> None:
    assert importance_cache.read("none") is None
    assert importance_cache.write("key", values(), values(2.0))
    forget, retain = importance_cache.read("key")
    for found, expected in ((forget, values()), (retain, values(2.0))):
        assert set(found) == set(expected)
        assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_fingerprint_knows_model_data_and_way_of_measuring() -> None:
    sets = (rows(3, 1), rows(3, 2))
    first = importance_cache.fingerprint(tiny_neo(), sets, TARGETS, 1)
    assert first == importance_cache.fingerprint(tiny_neo(), sets, TARGETS[::-1], 1)
    others = {
        importance_cache.fingerprint(tiny_neo(1), sets, TARGETS, 1),
        importance_cache.fingerprint(tiny_neo(), (sets[1], sets[0]), TARGETS, 1),
        importance_cache.fingerprint(tiny_neo(), (rows(2, 1), rows(3, 2)), TARGETS, 1),
        importance_cache.fingerprint(tiny_neo(), sets, TARGETS[:1], 1),
        importance_cache.fingerprint(tiny_neo(), sets, TARGETS, 4),
    }
    model = tiny_neo()
    with torch.no_grad():
        next(model.parameters())[0, 0] += 1e-6
    others.add(importance_cache.fingerprint(model, sets, TARGETS, 1))
    assert len(others) == 6
    assert first not in others


@pytest.mark.parametrize("content", [b"", b"no safetensors", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_a_broken_file_is_measured_anew(cache: Path, content: bytes) -> None:
    cache.mkdir(parents=True)
    (cache / "key.safetensors").write_bytes(content)
    assert importance_cache.read("key") is None
    assert importance_cache.write("key", values(), values())
    assert importance_cache.read("key") is not None


def test_runs_at_the_same_time_never_see_half_a_file(cache: Path) -> None:
    def one(k: int) -> bool:
        importance_cache.write("key", values(1.0), values(1.0))
        found = importance_cache.read("key")
        return found is not None and torch.equal(found[0]["a.c_fc"], values()["a.c_fc"])

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(one, range(40)))
    assert [path.name for path in cache.iterdir()] == ["key.safetensors"]


def test_the_oldest_go_above_the_limit(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    importance_cache.write("old", values(), values())
    os.utime(cache / "old.safetensors", (1, 1))
    size = (cache / "old.safetensors").stat().st_size
    monkeypatch.setenv("WORKBENCH_CACHE_GB", str(1.5 * size / 2**30))
    importance_cache.write("new", values(), values())
    assert importance_cache.read("old") is None
    assert importance_cache.read("new") is not None
    monkeypatch.setenv("WORKBENCH_CACHE_GB", str(0.5 * size / 2**30))
    assert not importance_cache.write("larger than all", values(), values())


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "file"))
    assert not importance_cache.write("key", values(), values())
    assert importance_cache.read("key") is None


@pytest.mark.parametrize("fisher_batch", [1, 3])
def test_feeding_pass_by_pass_changes_nothing(monkeypatch: pytest.MonkeyPatch, fisher_batch: int) -> None:
    found = []
    for size in (64, 4):
        monkeypatch.setattr(importance_cache, "ROWS_A_PASS", size)
        meter = FisherMeter(tiny_neo(), TARGETS, fisher_batch)
        assert list(importance_cache.feed(meter, rows(10), 0))[-1] == 10
        found.append(meter.values())
    for name in found[0]:
        torch.testing.assert_close(found[0][name], found[1][name], rtol=1e-4, atol=1e-9)
