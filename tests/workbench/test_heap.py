"""What the allocator does after `give_back`, asked of itself in a process of its own."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="about glibc's allocator")
PROGRAM = """
import ctypes, json, os, sys, tempfile, threading
from workbench.heap import give_back

told = give_back() if sys.argv[1] == "set" else None
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
libc.malloc.argtypes, libc.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
libc.malloc_info.argtypes, libc.fclose.argtypes = [ctypes.c_int, ctypes.c_void_p], [ctypes.c_void_p]


def state():
    with tempfile.TemporaryDirectory() as room:
        path = os.path.join(room, "info")
        file = libc.fopen(path.encode(), b"w")
        libc.malloc_info(0, file)
        libc.fclose(file)
        text = open(path).read()
    mapped = text.rpartition('<total type="mmap"')[2].partition('size="')[2].partition('"')[0]
    return text.count("<heap nr="), int(mapped)


libc.free(libc.malloc(24 << 20))  # from here on the allocator as it comes keeps blocks of that size
before = state()[1]
libc.malloc(2 << 20)
returned_at_once = state()[1] - before >= 2 << 20
barrier = threading.Barrier(20)


def ask():
    barrier.wait()
    libc.malloc(5000)
    barrier.wait()


threads = [threading.Thread(target=ask) for _ in range(20)]
for one in threads:
    one.start()
for one in threads:
    one.join()
print(json.dumps([told, returned_at_once, state()[0]]))
"""


def _tried(how: str, **variables: str) -> list[object]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], env={**kept, **variables}, capture_output=True, text=True, check=True
    )  # fmt: skip
    return list(json.loads(done.stdout))


def test_large_blocks_go_back_and_few_arenas_keep_the_rest() -> None:
    told, at_once, arenas = _tried("set")
    assert (told, at_once, arenas) == (True, True, 2)
    _, at_once, arenas = _tried("leave")
    assert not at_once, "else this test tests nothing"
    assert isinstance(arenas, int)
    assert arenas > 2


def test_who_has_set_the_allocator_is_left_alone() -> None:
    assert _tried("set", MALLOC_ARENA_MAX="1")[0] is False
