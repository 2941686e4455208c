"""The application: catalogue of engines, run service, recorder, executors and the command line.

    from workbench import Settings, Workbench

    with Workbench.open(Settings.from_environment()) as workbench:
        run = workbench.create("matrix_completion", {"rank": 5}, preset="smoke", seed=3)
        workbench.run_inline(run.id)

Nothing heavy is imported here: `Workbench` brings the database in when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.settings import Settings

if TYPE_CHECKING:
    from workbench.outside import record
    from workbench.remote import connect
    from workbench.runs import Workbench

__all__ = ["Settings", "Workbench", "connect", "record"]


def __getattr__(name: str) -> Any:
    if name == "Workbench":
        from workbench.runs import Workbench

        return Workbench
    if name == "record":
        from workbench.outside import record

        return record
    if name == "connect":
        from workbench.remote import connect

        return connect
    raise AttributeError(f"module 'workbench' has no attribute {name!r}")
