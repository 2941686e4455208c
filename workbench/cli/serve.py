"""`workbench serve`: the page in the browser."""

from __future__ import annotations

import argparse

from workbench.runs import Workbench
from workbench.settings import Settings


def serve(arguments: argparse.Namespace) -> int:
    """Open the page and serve it until stopped."""
    # The one place where the application calls the layer above it.
    from ui.app import serve as serve_page

    with Workbench.open(Settings.from_environment()) as workbench:
        workbench.look_around()
        serve_page(
            workbench, host=arguments.host, port=arguments.port, share=arguments.share, demo=arguments.demo
        )
    return 0
