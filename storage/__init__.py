"""The record of every run: a database through SQLModel, and files known by their content.

This package knows neither engines nor the page. Start at `Store`; `docs/record.md` explains the record itself.
"""

from typing import TYPE_CHECKING, Any

from storage.errors import (
    ArtifactNotFound,
    BundleRefused,
    DatabaseBusy,
    DatabaseTooNew,
    DiskFull,
    RunNotFound,
    StorageError,
)
from storage.notices import Kind, Notices
from storage.record import Record
from storage.series import decimated
from storage.status import Status
from storage.store import Store
from storage.tables import Run
from storage.values import (
    AlertRow,
    ArrayInfo,
    ArtifactInfo,
    Changes,
    ClaimRow,
    CommandRow,
    FileInfo,
    PictureInfo,
    Points,
    RunPage,
    RunQuery,
    RunRow,
    SeriesInfo,
    TableData,
)
from storage.writer import Writer

if TYPE_CHECKING:
    from storage.bundle import export_bundle, import_bundle, runs_in_bundle

__all__ = [
    "AlertRow",
    "ArrayInfo",
    "ArtifactInfo",
    "ArtifactNotFound",
    "BundleRefused",
    "Changes",
    "ClaimRow",
    "CommandRow",
    "DatabaseBusy",
    "DatabaseTooNew",
    "DiskFull",
    "FileInfo",
    "Kind",
    "Notices",
    "PictureInfo",
    "Points",
    "Record",
    "Run",
    "RunNotFound",
    "RunPage",
    "RunQuery",
    "RunRow",
    "SeriesInfo",
    "Status",
    "StorageError",
    "Store",
    "TableData",
    "Writer",
    "decimated",
    "export_bundle",
    "import_bundle",
    "runs_in_bundle",
]


def __getattr__(name: str) -> Any:
    """Bundles are imported on first use: few programs need them, and their models take a while to build."""
    if name in ("export_bundle", "import_bundle", "runs_in_bundle"):
        from storage import bundle

        return getattr(bundle, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
