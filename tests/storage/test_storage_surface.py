"""What the package shows, what it costs to import, and that its errors are one family."""

from __future__ import annotations

import subprocess
import sys

import storage
from storage import StorageError, errors


def test_all_is_sorted_and_importable() -> None:
    assert list(storage.__all__) == sorted(storage.__all__)
    assert all(getattr(storage, name) is not None for name in storage.__all__)


def test_every_error_is_a_storage_error() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert len(kinds) >= 7
    assert all(issubclass(kind, StorageError) for kind in kinds)


def test_opening_an_existing_database_needs_neither_alembic_nor_pyarrow(tmp_path) -> None:
    url, folder = f"sqlite:///{tmp_path}/runs.db", str(tmp_path / "artifacts")
    storage.Store.open(url, folder).close()
    program = (
        "import sys; from storage import Store; "
        f"store = Store.open({url!r}, {folder!r}); store.runs(); store.close(); "
        "sys.exit(any(name in sys.modules for name in ('alembic', 'pyarrow', 'torch', 'gradio', 'pandas')))"
    )
    assert subprocess.run([sys.executable, "-W", "error", "-c", program], check=False).returncode == 0
