"""Take runs away as one file, and bring them back. The format is described in `docs/bundle.md`.

document.py   record.json: what it holds, as checked models
points.py     the curves of a run as Parquet
archive.py    the zip: written the same way each time, read with suspicion
transfer.py   from the store into a bundle, and from a bundle into the store
"""

from storage.bundle.archive import Limits
from storage.bundle.transfer import export_bundle, import_bundle, runs_in_bundle

__all__ = ["Limits", "export_bundle", "import_bundle", "runs_in_bundle"]
