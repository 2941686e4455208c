"""record.json: the models that check it on the way in and shape it on the way out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    StringConstraints,
    ValidationError,
    model_validator,
)

from storage import jsontext
from storage.artifacts import references_in
from storage.errors import BundleRefused
from storage.ids import is_id
from storage.status import Status

FORMAT: Literal["paper-workbench bundle"] = "paper-workbench bundle"
VERSION = 1  # of the format: the same as Document.version

Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Pixels = Annotated[int, Field(ge=0, lt=2**31)]
Axis = Annotated[list[Any], Field(min_length=2, max_length=2)]


class Entry(BaseModel):
    """A part of the document: no field missing, none unknown, no type bent into shape."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class CurveEntry(Entry):
    """A curve: its row, and the digest of its points (see `points.digest`)."""

    series: str
    name: str
    position: Count
    count: Count
    last_step: float
    last_value: float
    minimum: float
    maximum: float
    nonfinite: Count
    sha256: Hash


class PictureEntry(Entry):
    """A picture; `hash` names its member under artifacts/."""

    position: Count
    name: str
    step: float
    caption: str
    keep: bool
    hash: Hash
    width: Pixels
    height: Pixels


class ArrayEntry(Entry):
    """An array; `hash` names its .npy under artifacts/, however the store keeps it."""

    position: Count
    name: str
    step: float
    keep: bool
    shape: list[Count]
    axes: list[Axis]
    hash: Hash

    @model_validator(mode="after")
    def _axes_fit(self) -> Self:
        for axis, length in zip(self.axes, self.shape, strict=True):
            if not isinstance(axis[0], str) or not isinstance(axis[1], list) or len(axis[1]) != length:
                raise ValueError("an axis must be a name and one coordinate for each index")
        return self


class TableEntry(Entry):
    """A table of results."""

    position: Count
    name: str
    columns: list[str]
    rows: list[list[str | int | float | bool | None]]


class TextEntry(Entry):
    """A named text."""

    position: Count
    name: str
    value: str


class AlertEntry(Entry):
    """Something that the reader must know."""

    position: Count
    name: str
    step: float
    message: str


class FileEntry(Entry):
    """A result file; `hash` names its member under artifacts/."""

    position: Count
    name: str
    hash: Hash
    media_type: str
    caption: str
    filename: str


class ClaimEntry(Entry):
    """What became of one claim."""

    position: Count
    key: str
    statement: str
    paper: str | None
    measured: float | None
    baseline: float | None
    holds: bool | None
    detail: str
    unit: str


class RunEntry(Entry):
    """A run and all that it recorded, but for the points (Parquet), the files (artifacts/) and its local owner."""

    id: str
    engine: str
    engine_version: str
    status: Literal["finished", "failed", "cancelled", "interrupted"]
    params: dict[str, Any]
    seed: Int64
    preset: str
    created_at: FiniteFloat
    started_at: FiniteFloat | None
    finished_at: FiniteFloat | None
    heartbeat_at: FiniteFloat | None
    environment: dict[str, Any]
    parent_id: str | None
    note: str
    tags: list[str]
    error: str
    error_kind: str
    worker: str
    headline_series: str
    headline_name: str
    progress_done: float
    progress_total: float
    progress_note: str
    version: Count
    series: list[CurveEntry]
    pictures: list[PictureEntry]
    arrays: list[ArrayEntry]
    tables: list[TableEntry]
    texts: list[TextEntry]
    alerts: list[AlertEntry]
    files: list[FileEntry]
    claims: list[ClaimEntry]

    @model_validator(mode="after")
    def _nothing_twice(self) -> Self:
        if not is_id(self.id):
            raise ValueError("its id is not a run id")
        unique: dict[str, Sequence[Any]] = {
            "curve": [(curve.series, curve.name) for curve in self.series],
            "picture": [picture.position for picture in self.pictures],
            "array": [array.position for array in self.arrays],
            "alert": [alert.position for alert in self.alerts],
            "table": [table.name for table in self.tables],
            "text": [text.name for text in self.texts],
            "file": [file.name for file in self.files],
            "claim": [claim.key for claim in self.claims],
            "tag": self.tags,
        }
        for kind, keys in unique.items():
            if len(set(keys)) < len(keys):
                raise ValueError(f"it has the same {kind} twice")
        return self

    @property
    def final_status(self) -> Status:
        """How the run ended."""
        return Status(self.status)

    def hashes(self) -> Iterator[str]:
        """Every member under artifacts/ that the run needs (some more than once)."""
        yield from (picture.hash for picture in self.pictures)
        yield from (array.hash for array in self.arrays)
        yield from (file.hash for file in self.files)
        yield from self.uploads()

    def uploads(self) -> set[str]:
        """The uploads that the parameters name."""
        return set(references_in(self.params))

    def content(self) -> str:
        """What the run is, as text to compare: all but what readers add (note, tags) and local counting."""
        return jsontext.dumps(self.model_dump(exclude={"note", "tags", "version"}))


class ArtifactEntry(Entry):
    """A member under artifacts/."""

    hash: Hash
    size: Count
    media_type: str
    name: str


class Document(Entry):
    """The whole of record.json."""

    format: Literal["paper-workbench bundle"] = FORMAT
    version: Literal[1] = 1
    runs: list[RunEntry] = Field(min_length=1)
    artifacts: list[ArtifactEntry]

    def to_json(self) -> bytes:
        """The document as bytes, always the same for the same content."""
        return jsontext.dumps(self.model_dump()).encode()


def parse(data: bytes) -> Document:
    """The document in the bytes of a record.json.

    Raises:
        BundleRefused: it is not one, or one of another version.
    """
    try:
        value = jsontext.loads(data)
    except (ValueError, RecursionError) as error:
        raise BundleRefused("The bundle's record.json is not readable JSON.") from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise BundleRefused("The file is a zip, but not a bundle of the Paper Workbench.")
    version = value.get("version")
    if version != VERSION or isinstance(version, bool):
        raise BundleRefused(
            f"The bundle has format version {version!r}, and this workbench reads version {VERSION}: "
            "install the newest workbench."
        )
    try:
        return Document.model_validate(value)
    except (ValidationError, RecursionError) as error:
        raise BundleRefused(f"The bundle's record.json is not valid: {_first_fault(error)}.") from error


def _first_fault(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return "it is nested too deeply"
    fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in fault["loc"])
    return f"{place or 'the document'}: {fault['msg'].removeprefix('Value error, ')}"
