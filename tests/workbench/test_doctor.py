import shutil
from types import SimpleNamespace

import pytest

from workbench import doctor
from workbench.runs import Workbench


def by_topic(workbench: Workbench) -> dict[str, list[doctor.Finding]]:
    found: dict[str, list[doctor.Finding]] = {}
    for finding in doctor.examine(workbench):
        found.setdefault(finding.topic, []).append(finding)
    return found


def test_a_sound_installation(workbench: Workbench) -> None:
    workbench.submit("fixture")
    found = by_topic(workbench)
    assert {finding.verdict for group in found.values() for finding in group} == {"good"}
    assert "cpu" in found["device"][0].words
    assert "fixture" in found["engines"][0].words
    assert found["database"][0].words == "sound, 1 runs, 0 of them queued or running"
    assert "all there" in found["artifacts"][0].words


def test_a_missing_artifact_is_found(workbench: Workbench) -> None:
    run = workbench.submit("fixture")
    content_hash = workbench.record(run.id).pictures()[0].hash
    workbench.store.artifacts.local_path(content_hash).unlink()
    [finding] = by_topic(workbench)["artifacts"]
    assert finding.verdict == "bad"
    assert content_hash[:12] in finding.words


def test_a_broken_engine_and_a_full_disk(workbench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    object.__setattr__(workbench.catalog, "broken", {"odd": "odd from odd cannot be used: it is odd."})
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    found = by_topic(workbench)
    assert found["engines"][-1] == doctor.Finding("engines", "bad", "odd from odd cannot be used: it is odd.")
    assert found["disk"][0].verdict == "bad"
