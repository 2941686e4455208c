"""Shared fixtures: a home of its own for each test, the test suite's engine as an installed plug-in, a workbench, a
PostgreSQL server for the session."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from postgres_cluster import Cluster, cluster, missing
from sqlalchemy import make_url

from storage import Store
from workbench.catalog import Catalog, Origin
from workbench.runs import Workbench
from workbench.settings import Settings

PLUGIN = Path(__file__).parent / "fixture_plugin"


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[Cluster]:
    """A PostgreSQL server of this session's own. Where none can be made the test is skipped; in CI it fails."""
    if reason := missing():
        if os.environ.get("CI"):
            pytest.fail(f"CI runs on both databases, but there is {reason}")
        pytest.skip(reason)
    with cluster() as made:
        yield made


@pytest.fixture
def postgres_schema(postgres_cluster: Cluster) -> Iterator[str]:
    """The URL of a schema of the test's own in it."""
    import psycopg

    name, plain = f"test_{secrets.token_hex(8)}", postgres_cluster.url.replace("+psycopg", "")
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    options = {"options": f"-csearch_path={name}"}
    yield make_url(postgres_cluster.url).update_query_dict(options).render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA {name} CASCADE")


@pytest.fixture
def s3(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """An address on an S3 server of this process, with credentials in the environment as on a real one."""
    if not os.environ.get("CI"):
        for name in ("moto.server", "s3fs"):
            pytest.importorskip(name, reason="moto[server] and s3fs are not installed")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "tests",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": str(request.getfixturevalue("s3_server")),
    }.items():
        monkeypatch.setenv(name, value)
    return f"s3://records-{secrets.token_hex(6)}/artifacts"


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Its address; one for the session."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh WORKBENCH_HOME, also for programs that the test starts; no other setting of this shell counts."""
    for name in [name for name in os.environ if name.startswith("WORKBENCH_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "home"
    monkeypatch.setenv("WORKBENCH_HOME", str(folder))
    monkeypatch.setenv("WORKBENCH_DEVICE", "cpu")
    return folder


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The fixture engine installed as a distribution, here and in programs that the test starts."""
    monkeypatch.syspath_prepend(str(PLUGIN))
    inherited = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PLUGIN), *([inherited] if inherited else [])]))
    return PLUGIN


@pytest.fixture
def fixture_catalog(plugin: Path) -> Catalog:
    """A catalogue of the fixture engine alone."""
    from fixture_engine import ENGINE

    return Catalog.of([(ENGINE.key, ENGINE, Origin("fixture_engine", "fixture-engine", "1.0"))])


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    """An empty store in the test's home."""
    settings = Settings.at(home)
    home.mkdir(parents=True, exist_ok=True)
    with Store.open(settings.database_url, settings.artifacts_url) as opened:
        yield opened


@pytest.fixture
def make_workbench(home: Path, fixture_catalog: Catalog) -> Iterator[Callable[..., Workbench]]:
    """Opens workbenches on the test's home; options are settings. All are closed at the end."""
    opened: list[Workbench] = []

    def make(**options: Any) -> Workbench:
        settings = Settings.at(home, **{"device": "cpu", "grace_s": 2.0, "slots": 1, **options})
        opened.append(Workbench.open(settings, fixture_catalog))
        return opened[-1]

    yield make
    for bench in opened:
        bench.close()


@pytest.fixture
def workbench(make_workbench: Callable[..., Workbench]) -> Workbench:
    """A workbench with the fixture engine that executes runs inside the call."""
    return make_workbench(executor="inline")


@pytest.fixture
def run_cli(
    home: Path, plugin: Path, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs the command line in this process; answers its exit code, standard output and standard error."""
    from workbench.cli import main

    def run(*words: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main(list(words))
        sys.stdout.flush()
        out, err = capfd.readouterr()
        return code, out, err

    return run
