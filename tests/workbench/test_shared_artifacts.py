"""Machines that share their files: through a folder that both see, and through an S3-compatible server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from storage import Status, StorageError, Store
from workbench.runs import Workbench


@pytest.fixture(params=["folder", "s3"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An address that both machines are given."""
    return str(request.getfixturevalue("s3")) if request.param == "s3" else f"file://{tmp_path}/mounted/files"


def test_what_a_worker_records_there_is_read_here(
    make_workbench: Callable[..., Workbench], shared: str, tmp_path: Path
) -> None:
    there = make_workbench(artifacts_url=shared)
    upload = there.ingest(b"a photo", "photo.png")
    run = there.submit("fixture", {"photo": upload}, preset="smoke")
    assert (there.follow(run.id).status, there.run(run.id).error) == (Status.finished, "")
    here = make_workbench(artifacts_url=shared, executor="inline")
    pictures = [picture.hash for picture in here.record(run.id).pictures()]
    assert pictures
    assert all(here.store.artifacts.read(found).startswith(b"\x89PNG") for found in pictures)
    assert not (tmp_path / "home" / "artifacts").exists(), "nothing is kept beside the shared place"
    here.delete(run.id)
    assert not any(there.store.artifacts.exists(found) for found in pictures)


def test_the_same_content_from_two_machines_is_stored_once(shared: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    with Store.open(url, shared) as here, Store.open(url, shared) as there:
        assert here.artifacts.put(b"same", "text/plain") == there.artifacts.put(b"same", "text/plain")
        found = here.artifacts.put_file(_file(tmp_path, b"x" * 3_000_000), "application/octet-stream")
        assert there.artifacts.exists(found), "no list that is remembered says otherwise"
        there.artifacts.blobs.remove(found)
        assert not here.artifacts.exists(found)
        assert here.artifacts.put(b"x" * 3_000_000, "application/octet-stream") == found
        assert there.artifacts.read(found) == b"x" * 3_000_000


def test_a_server_that_cannot_be_reached_is_a_sentence(
    s3: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()  # it keeps its connections for a process' life
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(StorageError, match="could not be"):
        Store.open(f"sqlite:///{tmp_path}/runs.db", s3)


def _file(folder: Path, data: bytes) -> Path:
    (folder / "large.bin").write_bytes(data)
    return folder / "large.bin"
