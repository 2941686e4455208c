"""What differs from one installation to the next, read once at the entry point and passed on."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from workbench.errors import BadSetting

ExecutorName = Literal["process", "inline", "zerogpu", "ray", "submitit"]
Profile = Literal["own", "demo", "space"]

EXECUTORS: tuple[ExecutorName, ...] = ("process", "inline", "zerogpu", "ray", "submitit")
PROFILES: tuple[Profile, ...] = ("own", "demo", "space")
DEVICE_PATTERN = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


@dataclass(frozen=True)
class Settings:
    """Where the records live and how runs are executed.

    `slots` is the number of runs at a time (0: one a GPU, or a share of the cores); `grace_s` how long a
    run that is asked to stop may take before its process is killed; `stale_after_s` after how many seconds
    without a sign of life a run of another machine counts as interrupted; `run_limit_s` how long a run may take
    before it is stopped (0: as long as it likes); `profile` whom the page is for: its owner, guests, or the
    guests of a Space; `wal` whether SQLite keeps a write-ahead log (not on network mounts); `run_cpus` and `run_gpus`
    what Ray and Slurm set aside for a run (GPUs -1: one where Ray has any; Slurm: none); `slurm` what else its jobs
    ask for; `origins` under which names, separated by commas, the page is reached besides the one that a request tells.
    """

    home: Path
    database_url: str
    artifacts_url: str
    executor: ExecutorName = "process"
    device: str = "auto"
    slots: int = 0
    grace_s: float = 10.0
    stale_after_s: float = 60.0
    run_limit_s: float = 0.0
    profile: Profile = "own"
    wal: bool = True
    run_cpus: int = 1
    run_gpus: float = -1.0
    slurm: str = ""
    origins: str = ""

    @property
    def works_in_requests(self) -> bool:
        """Whether a run is executed inside a request of its own, because the host lends its GPU to requests."""
        return self.executor == "zerogpu"

    @classmethod
    def at(cls, home: Path, **changes: object) -> Settings:
        """Settings whose database and artifacts live in `home`; `changes` replace single fields."""
        values: dict[str, object] = {
            "home": home,
            "database_url": f"sqlite:///{(home / 'workbench.sqlite').as_posix()}",
            "artifacts_url": f"file://{(home / 'artifacts').as_posix()}",
        }
        return cls(**{**values, **changes})  # type: ignore[arg-type]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Settings of `WORKBENCH_HOME`, `_DATABASE_URL`, `_ARTIFACTS_URL`, `_EXECUTOR`, `_DEVICE`, `_SLOTS`,
        `_GRACE_S`, `_STALE_AFTER_S`, `_RUN_LIMIT_S`, `_PROFILE`, `_RUN_CPUS`, `_RUN_GPUS`, `_SLURM`,
        `_ORIGINS` and `_WAL`; raises BadSetting for one that cannot be understood."""
        given = os.environ if environment is None else environment
        changes: dict[str, object] = {}
        for name in ("database_url", "artifacts_url"):
            if text := given.get(f"WORKBENCH_{name.upper()}"):
                changes[name] = text
        if executor := given.get("WORKBENCH_EXECUTOR"):
            if executor not in EXECUTORS:
                raise BadSetting(
                    f"WORKBENCH_EXECUTOR must be one of {', '.join(EXECUTORS)}; got {executor!r}."
                )
            changes["executor"] = executor
        if device := given.get("WORKBENCH_DEVICE"):
            if not DEVICE_PATTERN.fullmatch(device):
                raise BadSetting(f"WORKBENCH_DEVICE must be auto, cpu, mps, cuda or cuda:N; got {device!r}.")
            changes["device"] = device
        if slots := given.get("WORKBENCH_SLOTS"):
            changes["slots"] = int(_number("WORKBENCH_SLOTS", slots, 0, 256, whole=True))
        if grace := given.get("WORKBENCH_GRACE_S"):
            changes["grace_s"] = _number("WORKBENCH_GRACE_S", grace, 0.1, 3600)
        if stale := given.get("WORKBENCH_STALE_AFTER_S"):
            changes["stale_after_s"] = _number("WORKBENCH_STALE_AFTER_S", stale, 1, 86400)
        if limit := given.get("WORKBENCH_RUN_LIMIT_S"):
            changes["run_limit_s"] = _number("WORKBENCH_RUN_LIMIT_S", limit, 0, 30 * 86400)
        if cpus := given.get("WORKBENCH_RUN_CPUS"):
            changes["run_cpus"] = int(_number("WORKBENCH_RUN_CPUS", cpus, 1, 1024, whole=True))
        if gpus := given.get("WORKBENCH_RUN_GPUS"):
            changes["run_gpus"] = _number("WORKBENCH_RUN_GPUS", gpus, 0, 64)
        changes["slurm"] = given.get("WORKBENCH_SLURM", "")
        changes["origins"] = given.get("WORKBENCH_ORIGINS", "")
        if profile := given.get("WORKBENCH_PROFILE"):
            if profile not in PROFILES:
                raise BadSetting(f"WORKBENCH_PROFILE must be one of {', '.join(PROFILES)}; got {profile!r}.")
            changes["profile"] = profile
        home = _home(given)
        changes["wal"] = _wal(given.get("WORKBENCH_WAL", "auto"), home)
        return cls.at(home, **changes)

    def to_json(self) -> str:
        """One line of JSON, for a worker process."""
        return json.dumps({**asdict(self), "home": str(self.home)})

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """The settings that `to_json` wrote."""
        values = json.loads(text)
        return cls(**{**values, "home": Path(values["home"])})


def _home(environment: Mapping[str, str]) -> Path:
    """The folder of `WORKBENCH_HOME`, else the platform's folder for a user's data."""
    if text := environment.get("WORKBENCH_HOME"):
        return Path(text).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_data_dir("paper-workbench", appauthor=False))


def _wal(text: str, home: Path) -> bool:
    """Whether SQLite keeps a write-ahead log: as asked, by itself not on network mounts."""
    if text not in ("auto", "on", "off"):
        raise BadSetting(f"WORKBENCH_WAL must be auto, on or off; got {text!r}.")
    if text != "auto":
        return text == "on"
    from workbench.mounts import is_network_mount

    return not is_network_mount(home)


def _number(name: str, text: str, low: float, high: float, *, whole: bool = False) -> float:
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        kind = "a whole number" if whole else "a number"
        raise BadSetting(f"{name} must be {kind} from {low:g} to {high:g}; got {text!r}.")
    return value
