"""The `workbench` command. Exit codes: 0 done, 1 the run failed, 2 wrong usage, 130 interrupted.

Errors are one sentence on standard error, with a traceback only on `--debug`. With `--json` standard output holds
exactly one JSON document, also when there is only an error to tell.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import cast

from workbench.cli.parser import parse_arguments
from workbench.errors import Interrupted, WorkbenchError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and answer its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        arguments = parse_arguments(words)
        module, _, name = arguments.handler.partition(":")
        handler = cast(Callable[[object], int], getattr(importlib.import_module(module), name))
        code = handler(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader of our output went away (`workbench runs | head`): nothing is left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except KeyboardInterrupt:
        return _report(Interrupted("Stopped from the keyboard."), words)
    except WorkbenchError as error:
        return _report(error, words)
    except Exception as error:
        return _report(_unexpected(error), words)


def _report(error: WorkbenchError, words: Sequence[str]) -> int:
    """Tell an error on standard error, and as the JSON document where one is due."""
    if "--debug" in words:
        traceback.print_exc()
    print(f"workbench: {error.sentence}", file=sys.stderr)
    if "--json" in words:
        from workbench.documents import error_document, to_text

        print(to_text(error_document(error)))
    return error.exit_code


def _unexpected(error: Exception) -> WorkbenchError:
    """Errors of the store as they are; anything else is a fault of ours, and says so."""
    from storage import StorageError

    if isinstance(error, StorageError):
        return WorkbenchError(str(error))
    message = str(error).partition("\n")[0].rstrip(".")
    return WorkbenchError(f"Unexpected {type(error).__name__}: {message}. Add --debug to see where.")
