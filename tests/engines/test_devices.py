"""What the machine says of itself: memory that is free inside a container."""

import psutil
import pytest

from engines.devices import memory_bytes

GIGABYTE = 1 << 30


@pytest.fixture
def group(tmp_path, monkeypatch):
    """A cgroup of 8 GB of which 6 are used, 3 of them by files read a while ago; the machine has 100 GB."""
    free = psutil.virtual_memory()._replace(available=100 * GIGABYTE)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    (tmp_path / "memory.max").write_text(f"{8 * GIGABYTE}\n")
    (tmp_path / "memory.current").write_text(f"{6 * GIGABYTE}\n")
    (tmp_path / "memory.stat").write_text(
        f"anon {2 * GIGABYTE}\nactive_file 1\ninactive_file {3 * GIGABYTE}\n"
    )
    return tmp_path


def test_files_that_the_kernel_would_give_back_count_as_free(group):
    assert memory_bytes(group) == 5 * GIGABYTE
    (group / "memory.stat").unlink()
    assert memory_bytes(group) == 2 * GIGABYTE


def test_without_a_limit_it_is_the_machines(group, tmp_path):
    (group / "memory.max").write_text("max\n")
    assert memory_bytes(group) == 100 * GIGABYTE
    assert memory_bytes(tmp_path / "none") == 100 * GIGABYTE


def test_a_container_over_its_limit_has_nothing(group):
    (group / "memory.current").write_text(f"{20 * GIGABYTE}\n")
    assert memory_bytes(group) == 0
