"""TensorBoard's event files: checked against a file that TensorBoard wrote, and read by TensorBoard where it is here."""

from __future__ import annotations

import base64
import math
import os
from pathlib import Path

import pytest

from workbench.event_files import DamagedEvents, EventWriter, crc32c, masked_crc, scalars

# Written by tensorboard 2.21: three points of "loss" as simple values, one of "accuracy" as a tensor at step -1.
THEIRS = base64.b64decode(
    "SAAAAAAAAAD+kkidCZxtLZ9hwdpBGg1icmFpbi5FdmVudDoyUi4KLHRlbnNvcmJvYXJkLnN1bW1hcnkud3JpdGVyLmV2ZW50X2ZpbGVfd3JpdGVy"
    "3nzBOBgAAAAAAAAAo39LIgkAAABA/FTZQSoNCgsKBGxvc3MVAACAPwhDlpYaAAAAAAAAABKb2C0JAABAQPxU2UEQCioNCgsKBGxvc3MVAAAAP13K"
    "26AaAAAAAAAAABKb2C0JAACAQPxU2UEQFCoNCgsKBGxvc3MVAACAPoW5Qjs7AAAAAAAAABojrFwJAADAQPxU2UEQ////////////ASolCiMKCGFj"
    "Y3VyYWN5QgoIARIAKgQAAEA/SgsKCQoHc2NhbGFyc/UQU8g="
)


def test_the_checksum_is_crc_32c() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # the check value of the catalogue of CRC algorithms
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, appendix B.4
    assert masked_crc((72).to_bytes(8, "little")).to_bytes(4, "little") == THEIRS[8:12]


def test_a_file_of_tensorboard_is_read(tmp_path: Path) -> None:
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(THEIRS)
    found = [(event.tag, event.step, event.wall_time - 1.7e9, event.value) for event in scalars(path)]
    assert found == [
        ("loss", 0, 0.0, 1.0),
        ("loss", 10, 1.0, 0.5),
        ("loss", 20, 2.0, 0.25),
        ("accuracy", -1, 3.0, 0.75),
    ]


def test_the_same_points_give_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "events.out.tfevents.2"
    with EventWriter(path, 0.0) as writer:
        for at, value in enumerate((1.0, 0.5, 0.25)):
            writer.scalar("loss", 10 * at, value, 1.7e9 + at)
    mine = path.read_bytes()
    # The first record names its writer, and their encoder leaves a step of zero out where ours writes it (both are
    # valid): the second and the third point are compared, records of 42 bytes before the last one of 75.
    assert THEIRS[-2 * 42 - 75 : -75] == mine[-2 * 42 :]


def test_numbers_come_back_as_float32_and_odd_ones_too(tmp_path: Path) -> None:
    path = tmp_path / "events.out.tfevents.3"
    values = [0.1, -3.5e38, math.inf, -math.inf, math.nan, 1e-50]
    with EventWriter(path, 5.0) as writer:
        writer.text("note", "näme", 5.0)
        writer.png("picture", 3, b"\x89PNG", (4, 2), 5.0)
        for step, value in enumerate(values):
            writer.scalar("a/b", -step, value, 6.0)
    found = list(scalars(path))
    assert [event.step for event in found] == [0, -1, -2, -3, -4, -5]
    assert found[0].value == pytest.approx(0.1, rel=1e-7)
    assert [event.value for event in found[1:4]] == [-math.inf, math.inf, -math.inf]
    assert math.isnan(found[4].value)
    assert found[5].value == 0.0


def test_a_file_that_is_still_written_ends_at_its_last_whole_record(tmp_path: Path) -> None:
    path = tmp_path / "events.out.tfevents.4"
    path.write_bytes(THEIRS[:-5])
    assert [event.tag for event in scalars(path)] == ["loss", "loss", "loss"]


@pytest.mark.parametrize("at", [9, 20, 200])
def test_a_damaged_file_is_refused(tmp_path: Path, at: int) -> None:
    path = tmp_path / "events.out.tfevents.5"
    path.write_bytes(THEIRS[:at] + bytes([THEIRS[at] ^ 0x40]) + THEIRS[at + 1 :])
    with pytest.raises(DamagedEvents):
        list(scalars(path))


def test_tensorboard_reads_ours(tmp_path: Path) -> None:
    if not os.environ.get("CI"):
        pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install -e '.[dev]'")
    from tensorboard.backend.event_processing import event_accumulator as accumulator

    with EventWriter(tmp_path / "events.out.tfevents.6", 5.0) as writer:
        writer.scalar("loss", 7, 0.5, 6.0)
        writer.png("picture", 3, b"\x89PNG", (4, 2), 5.0)
        writer.text("note", "words", 5.0)
    read = accumulator.EventAccumulator(str(tmp_path)).Reload()
    assert [(point.step, point.value, point.wall_time) for point in read.Scalars("loss")] == [(7, 0.5, 6.0)]
    assert [(image.width, image.height, image.step) for image in read.Images("picture")] == [(4, 2, 3)]
    assert read.Tags()["tensors"] == ["note"]
