from pathlib import Path

import pytest

from workbench.errors import BadSetting
from workbench.settings import Settings


def test_home_holds_database_and_artifacts(tmp_path: Path) -> None:
    settings = Settings.from_environment({"WORKBENCH_HOME": str(tmp_path)})
    assert settings.home == tmp_path
    assert settings.database_url == f"sqlite:///{tmp_path.as_posix()}/workbench.sqlite"
    assert settings.artifacts_url == f"file://{tmp_path.as_posix()}/artifacts"
    assert (settings.executor, settings.device, settings.slots) == ("process", "auto", 0)


def test_without_home_the_platform_decides() -> None:
    assert "paper-workbench" in str(Settings.from_environment({}).home)


def test_every_variable_is_read() -> None:
    settings = Settings.from_environment(
        {
            "WORKBENCH_HOME": "/somewhere",
            "WORKBENCH_DATABASE_URL": "postgresql+psycopg://u@h/n",
            "WORKBENCH_ARTIFACTS_URL": "s3://bucket",
            "WORKBENCH_EXECUTOR": "inline",
            "WORKBENCH_DEVICE": "cuda:1",
            "WORKBENCH_SLOTS": "3",
            "WORKBENCH_GRACE_S": "2.5",
            "WORKBENCH_STALE_AFTER_S": "30",
            "WORKBENCH_RUN_CPUS": "4",
            "WORKBENCH_RUN_GPUS": "0.5",
            "WORKBENCH_SLURM": "slurm_partition=gpu",
        }
    )
    assert settings.database_url == "postgresql+psycopg://u@h/n"
    assert settings.artifacts_url == "s3://bucket"
    assert (settings.executor, settings.device, settings.slots) == ("inline", "cuda:1", 3)
    assert (settings.grace_s, settings.stale_after_s) == (2.5, 30)
    assert (settings.run_cpus, settings.run_gpus, settings.slurm) == (4, 0.5, "slurm_partition=gpu")


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("EXECUTOR", "rays", "process, inline, zerogpu, ray, submitit"),
        ("DEVICE", "tpu", "auto, cpu, mps, cuda or cuda:N"),
        ("SLOTS", "many", "a whole number from 0 to 256"),
        ("SLOTS", "-1", "a whole number from 0 to 256"),
        ("RUN_CPUS", "0", "a whole number from 1 to 1024"),
        ("RUN_GPUS", "-1", "a number from 0 to 64"),
        ("GRACE_S", "nan", "a number from 0.1 to 3600"),
    ],
)
def test_a_setting_that_cannot_be_understood_is_named(name: str, value: str, rule: str) -> None:
    with pytest.raises(BadSetting) as caught:
        Settings.from_environment({f"WORKBENCH_{name}": value})
    assert f"WORKBENCH_{name}" in caught.value.sentence
    assert rule in caught.value.sentence
    assert repr(value) in caught.value.sentence
    assert caught.value.exit_code == 2


def test_json_round_trip(tmp_path: Path) -> None:
    settings = Settings.at(tmp_path, executor="inline", slots=2)
    assert Settings.from_json(settings.to_json()) == settings
