import errno

import pytest

from engines.contract import Refusal
from storage import DiskFull
from workbench.failures import EngineFault, explain
from workbench.redaction import redact


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (Refusal("rank", "rank must be small; got 9."), "Refusal", "rank must be small; got 9."),
        (MemoryError(), "OutOfMemory", "Out of memory on this machine."),
        (RuntimeError("CUDA out of memory. Tried to allocate"), "OutOfMemory", "Out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "OutOfMemory", "Out of memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "DiskFull", "The disk is full."),
        (DiskFull("No room is left."), "DiskFull", "No room is left."),
        (EngineFault("It said nothing."), "EngineFault", "It said nothing."),
        (ModuleNotFoundError("x", name="cmfrec.core"), "MissingPackage", "needs the package cmfrec"),
        (
            ZeroDivisionError("division by zero"),
            "ZeroDivisionError",
            "ZeroDivisionError: division by zero (test_",
        ),
        (ValueError("first\nsecond"), "ValueError", "ValueError: first (test_"),
        (KeyError(), "KeyError", "stopped with KeyError (test_"),
        (SystemExit(3), "SystemExit", "SystemExit: 3"),
    ],
)
def test_one_sentence_a_failure(error: BaseException, kind: str, words: str) -> None:
    failure = explain(raised(error))
    assert failure.kind == kind
    assert words in failure.sentence
    assert failure.sentence.endswith(".")
    assert "\n" not in failure.sentence


def test_only_the_unexpected_brings_its_traceback() -> None:
    assert explain(raised(Refusal("a", "A."))).trace == ""
    trace = explain(raised(ValueError("no"))).trace
    assert "ValueError: no" in trace
    assert "in raised" in trace


def test_torch_says_it_in_its_own_class() -> None:
    kind = type("OutOfMemoryError", (RuntimeError,), {})
    failure = explain(raised(kind("MPS")), device="mps")
    assert (failure.kind, "device mps" in failure.sentence) == ("OutOfMemory", True)


def test_no_path_of_this_machine() -> None:
    try:
        try:
            raise FileNotFoundError(2, "No such file", "/home/user/secret/model.pt")
        except FileNotFoundError as error:
            raise RuntimeError("cannot load /home/user/secret/model.pt") from error
    except RuntimeError as error:
        failure = explain(error)
    for text in (failure.sentence, failure.trace):
        assert "/home" not in text
        assert "secret" not in text
    assert "model.pt" in failure.sentence
    assert __file__ not in failure.trace


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see https://hub.example/a/b.pt here", "see https://hub.example/a/b.pt here"),
        ("open '/a/b/c.txt' failed", "open 'c.txt' failed"),
        (r"open C:\Users\me\c.txt", "open c.txt"),
        ("3/4 of 1/2", "3/4 of 1/2"),
        ("engines/estimation/x.py", "engines/estimation/x.py"),
    ],
)
def test_redaction_keeps_what_is_no_path(text: str, shown: str) -> None:
    assert redact(text) == shown
