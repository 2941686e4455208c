import json
import subprocess
import sys

import pytest

from workbench import environment


def test_description_is_plain_and_holds_no_path() -> None:
    facts = environment.describe("cpu")
    text = json.dumps(facts, allow_nan=False)
    assert facts["versions"]["numpy"]
    assert facts["cores"] >= 1
    assert facts["memory_bytes"] > 0
    assert facts["device"] == "cpu"
    assert "/home" not in text
    assert "/root" not in text
    assert environment.cpu_model()


def test_a_plain_cpu_is_known_without_torch() -> None:
    code = (
        "import sys; from workbench import environment; environment.may_have_accelerator = lambda: False; "
        "assert environment.choose_device('auto') == 'cpu'; environment.describe('cpu'); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_wanted_device_is_taken_as_it_is() -> None:
    assert environment.choose_device("cuda:1") == "cuda:1"


@pytest.mark.parametrize(("visible", "count"), [(None, 2), ("", 0), ("-1", 0), ("1", 1), ("0,1,2", 2)])
def test_gpus_are_counted_without_the_driver(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, count: int
) -> None:
    nodes = [environment.Path(f"/dev/{name}") for name in ("nvidia0", "nvidia1", "nvidiactl")]
    monkeypatch.setattr(environment.Path, "glob", lambda self, pattern: iter(nodes))
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert environment.gpu_count() == count
