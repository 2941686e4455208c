"""`workbench serve`: the page in the browser."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util

from workbench.demo_limits import DemoLimits
from workbench.errors import UsageError
from workbench.runs import Workbench
from workbench.settings import Settings


def serve(arguments: argparse.Namespace) -> int:
    """Open the page and serve it until stopped."""
    # The one place where the application calls the layer above it.
    from ui.app import serve as serve_page

    if arguments.mcp and importlib.util.find_spec("mcp") is None:
        raise UsageError("--mcp needs the package mcp: pip install 'paper-workbench[mcp]'.")
    settings = Settings.from_environment()
    limits = DemoLimits.from_environment() if arguments.demo or settings.profile != "own" else None
    if limits is not None and not settings.run_limit_s:
        settings = dataclasses.replace(settings, run_limit_s=float(limits.run_seconds))
    with Workbench.open(settings) as workbench:
        workbench.look_around()
        serve_page(
            workbench,
            host=arguments.host,
            port=arguments.port,
            share=arguments.share,
            limits=limits,
            mcp=arguments.mcp,
        )
    return 0
