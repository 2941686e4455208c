"""What a run is executed on, as it is recorded: versions, processor, device, git revision. Never a path, and
no import of a heavy library only to ask for its version."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import engines
from engines.devices import best_device, cpu_count

VERSIONS = (
    "paper-workbench",
    "numpy",
    "scipy",
    "torch",
    "numba",
    "scikit-learn",
    "scikit-image",
    "diffusers",
    "transformers",
    "peft",
    "accelerate",
    "pillow",
    "pydantic",
    "sqlmodel",
    "gradio",
    "plotly",
)
"""Distributions whose versions can change a run's numbers or its display."""

GIT_TIMEOUT_S = 5.0


def describe(device: str) -> dict[str, Any]:
    """The environment of a run on `device`: plain JSON values."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": cpu_model(),
        "cores": cpu_count(),
        "threads": int(os.environ.get("OMP_NUM_THREADS") or cpu_count()),
        "memory_bytes": memory_total_bytes(),
        "device": device,
        "device_name": device_name(device),
        "versions": versions(),
        "git": git_revision(),
    }


def choose_device(wanted: str) -> str:
    """The device of a setting: "auto" becomes the best there is. Torch is imported only where the machine
    shows signs of an accelerator, since on a plain CPU the answer is known without it."""
    if wanted != "auto":
        return wanted
    return best_device() if may_have_accelerator() else "cpu"


def may_have_accelerator() -> bool:
    """Whether this machine shows signs of a GPU that torch could use. True in case of doubt."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    if sys.platform != "linux":
        return True
    return gpu_count() > 0 or Path("/dev/kfd").exists() or Path("/dev/dxg").exists()


def gpu_count() -> int:
    """Number of NVIDIA GPUs that this process may use, without asking the driver."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    nodes = [node for node in Path("/dev").glob("nvidia*") if re.fullmatch(r"nvidia\d+", node.name)]
    if visible is None:
        return len(nodes)
    return min(len(nodes), len([item for item in visible.split(",") if item.strip() not in ("", "-1")]))


def device_name(device: str) -> str:
    """The maker's name of an accelerator; empty for the CPU, whose name stands under "cpu"."""
    if device.startswith("cuda"):
        import torch

        return str(torch.cuda.get_device_name(torch.device(device)))
    return "Apple GPU" if device == "mps" else ""


@functools.cache
def cpu_model() -> str:
    """The processor in the maker's words."""
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.lower().startswith("model name"):
                return line.partition(":")[2].strip()
    if sys.platform == "darwin":
        return _answer("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor()
    return platform.processor() or platform.machine()


def memory_total_bytes() -> int:
    """The machine's memory in bytes."""
    import psutil

    return int(psutil.virtual_memory().total)


@functools.cache
def versions() -> dict[str, str]:
    """Versions of those of `VERSIONS` that are installed, from their metadata."""
    found = {}
    for name in VERSIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def git_revision() -> str:
    """Commit of the source tree, with "+" when tracked files differ from it; empty outside a work tree."""
    root = Path(engines.__path__[0]).parent
    if not (root / ".git").exists():
        return ""
    revision = _answer("git", "-C", str(root), "rev-parse", "HEAD")
    changed = _answer("git", "-C", str(root), "status", "--porcelain", "--untracked-files=no")
    return revision + ("+" if revision and changed else "")


def _answer(*command: str) -> str:
    """What a program prints; empty when it is missing, fails or takes too long: the answer is a courtesy."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
