"""Runs as files to take away: a bundle (everything, can be imported again), JSON, CSV or Parquet.

CSV and Parquet hold the curves in long form, one row a point, with the columns of `COLUMNS`. Where the target is
a folder (or, for CSV, a `.zip`), each run gets a file of its own there, named by its id.
"""

from __future__ import annotations

import csv
import io
import os
import secrets
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from storage import Record, export_bundle
from workbench.documents import Document, plain, public, run_document, to_text
from workbench.errors import FileTrouble, UsageError, storage_seam
from workbench.recorder import TRACEBACK
from workbench.runs import Workbench

Format = Literal["bundle", "json", "csv", "parquet"]
FORMATS: tuple[Format, ...] = ("bundle", "json", "csv", "parquet")
ENDINGS: dict[str, str] = {"bundle": ".zip", "json": ".json", "csv": ".csv", "parquet": ".parquet"}

COLUMNS = ("run", "engine", "seed", "series", "name", "step", "time_s", "value")
JSON_FORMAT = 1


def export(
    workbench: Workbench,
    ids: Sequence[str],
    path: Path,
    kind: Format,
    *,
    for_strangers: bool = False,
    known_parents: Collection[str] = (),
) -> list[Path]:
    """Write the runs to `path`; answers the files written. A file there is replaced, only once the new one is
    whole. `for_strangers` leaves out where it ran, for whom, tracebacks, and parents that are neither exported nor among
    `known_parents`. Raises FileTrouble, UnknownRun, UsageError for a run that is not over (of a bundle)."""
    strangers = {*ids, *known_parents} if for_strangers else None
    with storage_seam():
        records = [workbench.record(run_id) for run_id in ids]
        if kind == "bundle":
            going_on = [record.run.id for record in records if not record.run.status.is_over]
            if going_on:
                raise UsageError(f"Run {going_on[0]} is not over yet; a bundle holds only runs that are.")
            target = path / _bundle_name(ids) if path.is_dir() else path
            with whole(target) as partial:
                left_out = (TRACEBACK,) if for_strangers else None
                export_bundle(
                    workbench.store,
                    list(ids),
                    partial,
                    without_texts=left_out,
                    known_parents=known_parents,
                )
            return [target]
        if path.is_dir():
            return [
                _write(path / f"{record.run.id}{ENDINGS[kind]}", [record], kind, strangers)
                for record in records
            ]
        if kind == "csv" and path.suffix == ".zip":
            return [_write_zip(path, records)]
        return [_write(path, records, kind, strangers)]


def series_csv(records: Iterable[Record]) -> str:
    """Every point of every curve as CSV; the numbers are exact (`repr`)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for record in records:
        run = record.run
        for info in record.series():
            points = record.points(info.series, info.name)
            lead = (run.id, run.engine, run.seed, info.series, info.name)
            columns = (points.steps.tolist(), points.times.tolist(), points.values.tolist())
            writer.writerows(
                (*lead, repr(step), repr(time_s), repr(value))
                for step, time_s, value in zip(*columns, strict=True)
            )
    return text.getvalue()


def full_document(record: Record, *, strangers: Collection[str] | None = None) -> Document:
    """`run_document` with every point of every curve and the texts; for strangers, with the parents that they know."""
    points: Document = {}
    for info in record.series():
        read = record.points(info.series, info.name)
        points[f"{info.series}/{info.name}"] = {
            "steps": plain(read.steps.tolist()),
            "times": plain(read.times.tolist()),
            "values": plain(read.values.tolist()),
        }
    document, texts = run_document(record), record.texts()
    if strangers is not None:
        document = public(document, strangers)
        texts = {name: text for name, text in texts.items() if name != TRACEBACK}
    return {**document, "points": points, "texts": texts}


def _write(path: Path, records: Sequence[Record], kind: Format, strangers: Collection[str] | None) -> Path:
    writers: dict[str, Callable[[Path], object]] = {
        "json": lambda target: target.write_text(_json(records, strangers), encoding="utf-8"),
        "csv": lambda target: target.write_text(series_csv(records), encoding="utf-8"),
        "parquet": lambda target: _write_parquet(target, records),
    }
    with whole(path) as partial:
        writers[kind](partial)
    return path


def _json(records: Sequence[Record], strangers: Collection[str] | None) -> str:
    documents = [full_document(record, strangers=strangers) for record in records]
    return to_text({"format": JSON_FORMAT, "runs": documents}) + "\n"


def _write_zip(path: Path, records: Sequence[Record]) -> Path:
    with whole(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for record in records:
            archive.writestr(f"{record.run.id}.csv", series_csv([record]))
    return path


def _write_parquet(path: Path, records: Sequence[Record]) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = (pa.string(), pa.string(), pa.int64(), pa.string(), pa.string(), *[pa.float64()] * 3)
    schema = pa.schema(list(zip(COLUMNS, kinds, strict=True)))
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for record in records:
            run = record.run
            for info in record.series():
                points = record.points(info.series, info.name)
                lead = [
                    np.full(len(points), item, dtype=object)
                    for item in (run.id, run.engine, run.seed, info.series, info.name)
                ]
                columns = [*lead, points.steps, points.times, points.values]
                arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to, moved there at the end: nobody meets half a file."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise FileTrouble(
            f"{path.name} cannot be written: {(error.strerror or str(error)).lower()}."
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _bundle_name(ids: Sequence[str]) -> str:
    return f"{ids[0]}.zip" if len(ids) == 1 else f"{len(ids)}-runs-{ids[0]}.zip"
