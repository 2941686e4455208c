"""Hostile files, through every upload."""

from __future__ import annotations

import hashlib
import io
import pickle
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from engines.contract import upload_fields
from storage import StorageError, export_bundle
from workbench.access import Demo
from workbench.catalog import Catalog
from workbench.errors import FileTrouble, UsageError, WorkbenchError
from workbench.runs import Workbench
from workbench.settings import Settings
from workbench.uploads import ARCHIVES, MAX_LINES, MAX_VALUES, PICTURES, TEXTS, accepted_endings, inspect

ALL = frozenset({*PICTURES, *TEXTS, *ARCHIVES, ".npy", ".safetensors", ".pt"})


class _Evil:
    def __reduce__(self) -> Any:
        import os

        return os.system, ("touch /tmp/pwned",)


def png(width: int, height: int, rows: bytes = b"") -> bytes:
    """A PNG whose header promises any size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def npy(values: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, **options)
    return buffer.getvalue()


PICKLE = pickle.dumps(_Evil())
OBJECTS = npy(np.array([_Evil()], dtype=object), allow_pickle=True)
HOSTILE = {
    "a pickle": ("model.pkl", PICKLE, "takes"),
    "a pickled model": ("model.pt", zipped({"archive/data.pkl": PICKLE}), "cannot check"),
    "a pickle that says it is a picture": ("cat.png", PICKLE, "not a PNG"),
    "a pickle that says it is a table": ("table.csv", PICKLE, "not UTF-8|not a text"),
    "a pickle that says it is safetensors": ("model.safetensors", PICKLE, "not a safetensors"),
    "an array of objects": ("data.npy", OBJECTS, "plain numbers"),
    "an archive with an array of objects": ("data.npz", zipped({"a.npy": OBJECTS}), "plain numbers"),
    "an archive with a pickle": ("data.zip", zipped({"x/evil.pkl": PICKLE}), "pickle"),
    "a decompression bomb of a picture": ("huge.png", png(60_000, 60_000), "pixels"),
    "a picture just too large": ("large.png", png(4001, 4000), "pixels"),
    "a damaged picture": ("cat.png", png(8, 8)[:20], "not a PNG"),
    "a JPEG that is a PNG": ("cat.jpg", png(8, 8), "not a JPEG"),
    "a zip bomb": ("bomb.zip", zipped({f"{n}.csv": bytes(4 << 20) for n in range(70)}), "unpack to more"),
    "an archive of many members": (
        "many.zip",
        zipped({f"{n}.csv": b"" for n in range(1001)}),
        "unpack to more",
    ),
    "an archive that climbs": ("up.zip", zipped({"../../x.csv": b"a"}), "leads out"),
    "an archive with an absolute member": ("abs.zip", zipped({"/etc/x.csv": b"a"}), "leads out"),
    "an archive of Windows": ("win.zip", zipped({"..\\..\\x.csv": b"a"}), "leads out"),
    "half an archive": ("half.zip", zipped({"a.csv": b"a" * 500})[:60], "not a zip"),
    "binary that says it is a table": ("a.csv", b"a,b\n\x00\x01\n", "not a text"),
    "one endless line": ("a.jsonl", b"[" * ((1 << 20) + 1), "line of more"),
    "lines upon lines": ("a.csv", b"a\n" * (MAX_LINES + 1), "at most 120,000"),
    "lines of an old machine": ("a.txt", b"a\r" * (MAX_LINES + 1), "at most 120,000"),
    "values upon values": ("a.json", b"[" + (b"[]," * 100_000 + b"\n") * 11, "2,000,000"),
    "columns upon columns": ("a.csv", (b"," * (MAX_VALUES // 4) + b"\n") * 5, "2,000,000"),
    "text that is not UTF-8": ("a.txt", b"\xff\xfe\x00", "not a text|not UTF-8"),
    "nothing": ("a.csv", b"", "empty"),
    "a page": ("a.html", b"<script>alert(1)</script>", "takes"),
    "a drawing with a script": ("a.svg", b"<svg onload='alert(1)'/>", "takes"),
    "a hidden ending": ("a.png.exe", png(1, 1), "takes"),
    "no ending": ("../../etc/cron", b"x", "takes"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_file_is_refused_before_it_is_kept(what: str) -> None:
    name, data, sentence = HOSTILE[what]
    with pytest.raises(FileTrouble, match=sentence) as told:
        inspect(data, name, ALL)
    assert "/" not in str(told.value).replace("/data", "").replace("/a.npy", "") or "climb" in what


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("cat.png", png(8, 8)),
        ("TABLE.CSV", "näme,b\n1,2\n".encode()),
        ("ratings.tsv", b"196\t242\t3\t881250949\n" * 100_000),
        ("a.npy", npy(np.zeros((2, 2)))),
        ("a.npz", zipped({"x.npy": npy(np.zeros(3))})),
        ("m.safetensors", struct.pack("<Q", 2) + b"{}"),
    ],
)
def test_honest_files_pass(access: Demo, monkeypatch: pytest.MonkeyPatch, name: str, data: bytes) -> None:
    monkeypatch.setattr(access, "_endings", ALL)
    assert access.upload("visitor-a", data, name) == f"sha256:{hashlib.sha256(data).hexdigest()}/{name}"


def test_uploads_of_a_guest_are_counted(access: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "_endings", frozenset({".csv"}))
    for number in range(access.limits.uploads):
        access.upload("visitor-a", b"a,b\n%d,2\n" % number, "a.csv")
    with pytest.raises(UsageError, match="3 files in the last hour"):
        access.upload("visitor-a", b"a", "a.csv")
    access.upload("visitor-b", b"a", "a.csv")
    monkeypatch.setattr(access, "_volume", type(access._volume)([(10**9, access.limits.uploads_mb << 20)]))
    with pytest.raises(UsageError, match="as many uploads as it can"):
        access.upload("visitor-c", b"a", "a.csv")


def test_every_upload_of_the_page_looks_first(demo: Any, guest: Callable[..., Any]) -> None:
    """The form's, the Library's, and Gradio's own."""
    one = guest()
    for what in (
        "a pickle",
        "a pickle that says it is a picture",
        "a decompression bomb of a picture",
        "a page",
    ):
        name, data, _ = HOSTILE[what]
        answer = one.http.post(
            "/wb/upload", params={"name": name}, content=data, headers={"X-Workbench": "1"}
        )
        assert answer.status_code == 422, what
    too_large = b"a" * ((16 << 20) + 1)
    assert one.post("/wb/upload?name=a.csv", too_large).status_code == 413
    assert one.post("/wb/library/import", too_large).status_code == 413
    assert one.http.post("/gradio_api/upload", files={"files": ("a.csv", b"a")}).status_code == 404
    answer = one.post("/wb/upload?name=..%2f..%2fhome.csv", b"a,b\n1,2\n").json()
    assert answer["ref"].endswith("/home.csv")
    names = {path.name for path in demo.home.rglob("*")}
    assert "home.csv" not in names, "a file lies under the hash of its content, not under its name"


def test_a_guest_brings_no_bundle_in(demo: Any, guest: Callable[..., Any], tmp_path: Any) -> None:
    bundle = tmp_path / "own.zip"
    with demo.workbench() as bench:
        export_bundle(bench.store, [demo.private], bundle)
    answer = guest().post("/wb/library/import", bundle.read_bytes())
    assert (answer.status_code, "takes no bundles" in answer.text) == (422, True)
    headers = {"x-workbench": "1", "x-name": "curves.csv"}
    answer = guest().http.post("/wb/library/import", content=b"step,loss\n0,1\n", headers=headers)
    assert (answer.status_code, "no curves" in answer.text) == (422, True)


@pytest.mark.parametrize("what", [name for name, (_, data, _) in HOSTILE.items() if data[:1] in b"P\x89"])
def test_the_library_refuses_hostile_archives_and_pictures(
    what: str, workbench: Workbench, tmp_path: Any
) -> None:
    """Also on a workbench of one's own, where bundles are taken: one sentence, nothing left behind."""
    from ui.library.routes import take
    from workbench.access import Access

    path = tmp_path / "upload"
    path.write_bytes(HOSTILE[what][1])
    with pytest.raises((WorkbenchError, StorageError)) as told:
        take(workbench, path, "local", Access(workbench))
    assert str(tmp_path) not in str(told.value)
    assert (
        list(workbench.store.database.read(lambda c: c.exec_driver_sql("select hash from artifact").all()))
        == []
    )


def _files_for(ending: str) -> list[bytes]:
    """Files that pass the door by their form and are hostile in their content."""
    if ending in PICTURES:
        return [png(3, 3), png(1, 1)]
    nasty = (
        b"", b"\n" * 50_000, b"a,b\n" + b"1," * 100_000, b"=cmd|' /C calc'!A0,1\n", b'"' * 60_000, b"{" * 60_000,
        b"[" * 60_000 + b"]" * 60_000, b'{"a": 1e999}\n' * 100, b'{"prompt": null}\n', b"1e999,nan,inf\n" * 100,
        b"user,item,rating\n" + b"1,99999999999999999999,5\n" * 10, b'{"__proto__": {"x": 1}}\n', b"\xef\xbb\xbf",
        b"user,item,rating\n" + "\u202e\u0000,2,3\n".encode(), b"-1,-1,-1\n" * 100,
    )  # fmt: skip
    return list(nasty)


def test_engines_meet_hostile_content_with_a_sentence(home: Any) -> None:
    """Whatever lies in an upload, an engine's check accepts it or refuses it in words; it never breaks."""
    catalog, said = Catalog.load(), []
    assert accepted_endings(catalog.engines.values())
    with Workbench.open(Settings.at(home, executor="inline"), catalog) as workbench:
        for key, engine in catalog.engines.items():
            for name in upload_fields(engine.params):
                extra: Any = engine.params.model_fields[name].json_schema_extra
                for ending in extra["accept"]:
                    for data in _files_for(ending):
                        reference = workbench.ingest(data or b" ", f"a{ending}")
                        try:
                            workbench.create(key, {name: reference}, preset="smoke")
                        except WorkbenchError as error:
                            said.append(str(error))
    assert said
    assert not [sentence for sentence in said if str(home) in sentence or "Traceback" in sentence]


def test_what_a_demo_says_it_takes_it_looks_at(access: Demo) -> None:
    """Kinds that cannot be looked at without reading them whole are neither taken nor named."""
    taken = accepted_endings(Catalog.load().engines.values())
    assert ".csv" in taken
    assert taken <= {*PICTURES, *TEXTS, *ARCHIVES, ".npy", ".safetensors"}
    for ending in taken:
        with pytest.raises(FileTrouble) as told:
            inspect(b"\x00", f"a{ending}", taken)
        assert "cannot check" not in str(told.value), ending
    with pytest.raises(FileTrouble, match="This demo takes") as told:
        inspect(b"PAR1", "a.parquet", taken)
    assert ".parquet," not in str(told.value)


ROW = '{{"question": "Who is {0}?", "answer": "{0}", "prompt": "{0}+1="}}\n'
RATING = "{0},{0},3\n"
LOOKED_AT = {
    "loku": ({}, ("forget", "retain"), ".jsonl", ROW),
    "oblr_po": ({}, ("problems",), ".jsonl", ROW),
    "reno": ({"experiment": "list"}, ("prompts",), ".txt", "a red circle left of a blue square\n"),
    "ttsnap": (
        {"experiment": "train", "form": "levels", "model": "flux-dev", "rewards": ["hpsv2.1"]},
        ("train_texts",),
        ".txt",
        "a red dog and {0} cats\n",
    ),
    "matrix_completion": ({"problem": "ratings"}, ("upload",), ".csv", RATING),
}
"""What makes an engine read a text: settings, the fields, the kind, a line of it."""


def _work(bench: Workbench, key: str, lines: int) -> int:
    """Calls that an engine's look at a file of so many lines makes, the last of which is broken."""
    settings, fields, ending, row = LOOKED_AT[key]
    text = "".join(map(row.format, range(lines))) + "{broken\n"
    reference = bench.ingest(text.encode(), f"a{ending}")
    params = bench.validate(key, {**settings, **dict.fromkeys(fields, reference)}, "smoke")
    made = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal made
        made += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        bench.look_over(key, params)
    except WorkbenchError:
        pass  # refused at its last line: all was read
    finally:
        sys.setprofile(None)
    return made


def test_a_look_at_a_file_takes_no_more_than_its_lines(home: Any) -> None:
    """Work grows with the lines of a file and no faster, so that their number bounds the time; counted, not timed."""
    catalog = Catalog.load()
    texts = {
        key
        for key, engine in catalog.engines.items()
        for name in upload_fields(engine.params)
        if TEXTS & set(engine.params.model_fields[name].json_schema_extra["accept"])  # type: ignore[index,call-overload]
    }
    assert texts == set(LOOKED_AT), "an engine that reads texts belongs here"
    with Workbench.open(Settings.at(home, executor="inline"), catalog) as bench:
        for key in LOOKED_AT:
            _work(bench, key, 2)  # what is imported and built at the first look
            small, large = _work(bench, key, 500), _work(bench, key, 4000)
            assert large <= 9 * small + 5000, key
            assert large / 4000 <= 400, f"{key}: {large / 4000:.0f} calls a line"
