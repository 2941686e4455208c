"""A PostgreSQL cluster of the tests' own: made in a temporary folder from Debian's package, reached by a socket there.

PostgreSQL refuses to run as root, so root starts it as another user. Nothing survives the tests, so nothing is
flushed to disk."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

QUICK = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "listen_addresses=",
    "max_connections=200",
)
START_S = 60.0


def missing() -> str:
    """Why no cluster can be made here; empty where one can."""
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "no psycopg here: install the extra [postgres]"
    if _program("initdb") is None:
        return "no PostgreSQL here: install Debian's package `postgresql`"
    return ""


class Cluster:
    """A running server on data of its own."""

    def __init__(self, folder: Path) -> None:
        self.url = f"postgresql+psycopg://tests@/postgres?host={folder}"
        self._folder = folder
        user = _user()
        self._who: dict[str, Any] = {"cwd": folder, "stdin": subprocess.DEVNULL}
        if user:
            os.chown(folder, user.pw_uid, user.pw_gid)
            self._who |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        words = ["-U", "tests", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        make = [_needed("initdb"), "-D", str(folder / "data"), *words]
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL, **self._who)
        self.start()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = [word for setting in QUICK for word in ("-c", setting)]
        command = [_needed("postgres"), "-D", str(self._folder / "data"), "-k", str(self._folder), *settings]
        with (self._folder.parent / f"{self._folder.name}.log").open("wb") as said:
            self._server = subprocess.Popen(command, stdout=said, stderr=said, **self._who)
        self._wait()

    def stop(self) -> None:
        """End the server with all connections. What was committed is there when it starts again."""
        self._server.send_signal(signal.SIGINT)
        self._server.wait(timeout=START_S)

    def remove(self) -> None:
        """End the server and remove its data."""
        self._server.send_signal(signal.SIGQUIT)  # at once: nothing is kept
        self._server.wait(timeout=START_S)
        shutil.rmtree(self._folder, ignore_errors=True)
        (self._folder.parent / f"{self._folder.name}.log").unlink(missing_ok=True)

    def _wait(self) -> None:
        import psycopg

        end = time.monotonic() + START_S
        while True:
            try:
                psycopg.connect(f"postgresql://tests@/postgres?host={self._folder}").close()
                return
            except psycopg.OperationalError as error:
                if self._server.poll() is not None or time.monotonic() > end:
                    log = (self._folder.parent / f"{self._folder.name}.log").read_text()
                    raise AssertionError(f"PostgreSQL did not start:\n{log}") from error
                time.sleep(0.05)


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A fresh cluster; it is ended and removed afterwards."""
    made = Cluster(Path(tempfile.mkdtemp(prefix="wb-pg-")))
    try:
        yield made
    finally:
        made.remove()


def _user() -> pwd.struct_passwd | None:
    """Whom the server runs as: ourselves, or somebody without rights where we are root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return known.get("postgres") or known["nobody"]


def _program(name: str) -> str | None:
    """Debian keeps the server's programs out of the path, by version."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    return str(found[-1]) if found else shutil.which(name)


def _needed(name: str) -> str:
    found = _program(name)
    assert found is not None, missing()
    return found
