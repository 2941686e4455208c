"""Fisher values of both sets, measured once for a model, its data and the way of measuring, then read from disk.

On large models importance costs more than unlearning (VILA, arXiv 2508.21300), so it is kept in the user's cache folder:
`WORKBENCH_CACHE`, else the platform's. A file is written beside and moved, so runs at the same time never see half of one;
what cannot be read is measured anew; the oldest files go when all together are above `WORKBENCH_CACHE_GB` (8).
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from engines.language.loku.method.importance import Fisher, FisherMeter
from engines.language.prompts import Encoded, collate

VERSION = "1"
ROWS_A_PASS, TOKENS_A_PASS = 64, 8192


def folder() -> Path:
    """Where importances are kept."""
    import platformdirs

    named = os.environ.get("WORKBENCH_CACHE")
    base = (
        Path(named).expanduser()
        if named
        else Path(platformdirs.user_cache_dir("paper-workbench", appauthor=False))
    )
    return base / "importance"


def fingerprint(
    model: nn.Module, sets: Iterable[Sequence[Encoded]], targets: Sequence[str], fisher_batch: int
) -> str:
    """SHA-256 over all that the Fisher values depend on: every weight, every token, targets and batch."""
    digest = hashlib.sha256(f"{VERSION}|{sorted(targets)}|{fisher_batch}".encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"|{name}|{tuple(value.shape)}|{value.dtype}|".encode())
        digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    for rows in sets:
        digest.update(b"|set|")
        for row in rows:
            digest.update(f"{row.start}:{row.ids};".encode())
    return digest.hexdigest()


def read(key: str) -> tuple[dict[str, Tensor], dict[str, Tensor]] | None:
    """The stored Fisher values of (forget, retain), None where there are none that can be read."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder() / f"{key}.safetensors"
    try:
        tensors = load_file(path)
        path.touch()  # the newest stay longest
    except (OSError, SafetensorError, ValueError):
        return None
    parts = {"forget": {}, "retain": {}}  # type: dict[str, dict[str, Tensor]]
    for name, value in tensors.items():
        which, _, layer = name.partition("/")
        parts.setdefault(which, {})[layer] = value
    if not parts["forget"] or set(parts["forget"]) != set(parts["retain"]):
        return None
    return parts["forget"], parts["retain"]


def write(key: str, forget: Fisher, retain: Fisher) -> bool:
    """Keep the values; False where the folder cannot be written (the run goes on without)."""
    from safetensors.torch import save

    tensors = {f"forget/{name}": value.cpu().contiguous() for name, value in forget.items()}
    tensors |= {f"retain/{name}": value.cpu().contiguous() for name, value in retain.items()}
    data = save(tensors)
    if len(data) > _limit_bytes():
        return False
    try:
        folder().mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder(), prefix="new-", delete=False) as file:
            file.write(data)
        Path(file.name).replace(folder() / f"{key}.safetensors")
        _prune()
    except OSError:
        return False
    return True


def _limit_bytes() -> int:
    try:
        return int(float(os.environ.get("WORKBENCH_CACHE_GB", "8")) * 2**30)
    except ValueError:
        return 8 * 2**30


def _prune() -> None:
    """Remove the least recently used files above the limit. Another run may do the same at the same time."""
    found = []
    for path in folder().glob("*.safetensors"):
        try:
            found.append((path.stat().st_mtime, path.stat().st_size, path))
        except OSError:
            continue
    total = 0
    for _, size, path in sorted(found, reverse=True):
        total += size
        if total > _limit_bytes():
            path.unlink(missing_ok=True)


def feed(meter: FisherMeter, rows: Sequence[Encoded], pad: int) -> Iterator[int]:
    """Give the rows to the meter, pass by pass; yields how many are done."""
    device = next(meter.model.parameters()).device
    group = meter.fisher_batch
    longest = max(len(row.ids) for row in rows)
    size = max(1, min(ROWS_A_PASS, TOKENS_A_PASS // longest) // group) * group
    for start in range(0, len(rows), size):
        meter.add(collate(rows[start : start + size], pad, device))
        yield min(len(rows), start + size)
