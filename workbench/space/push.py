"""`workbench space push`: the built folder to the Hub."""

from __future__ import annotations

import re
from pathlib import Path

from workbench.errors import FileTrouble, UsageError, WorkbenchError
from workbench.space.build import MARKER

NAME = re.compile(r"\w[\w.-]{0,95}(/\w[\w.-]{0,95})?")


def push(folder: Path, space_id: str, *, private: bool = False) -> str:
    """Create the Space where there is none and upload the folder to it, replacing what was there; answers its address.

    The token is the one that `hf auth login` has left, or `HF_TOKEN`. Raises UsageError, FileTrouble, and WorkbenchError with
    the Hub's own words."""
    if not NAME.fullmatch(space_id):
        raise UsageError(f"A Space is named NAME or OWNER/NAME; got {space_id[:100]!r}.")
    if not (folder / MARKER).exists():
        raise FileTrouble(f"{folder.name} was not built by `workbench space build`; build it first.")
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    api = HfApi()
    try:
        made = api.create_repo(
            space_id, repo_type="space", space_sdk="gradio", private=private, exist_ok=True
        )
        api.upload_folder(
            repo_id=made.repo_id,
            repo_type="space",
            folder_path=str(folder),
            commit_message="Paper Workbench",
            delete_patterns="*",
            ignore_patterns=["__pycache__/*", "*.pyc"],
        )
    except LocalTokenNotFoundError as error:
        raise UsageError("There is no token for the Hub: run `hf auth login`, or set HF_TOKEN.") from error
    except HfHubHTTPError as error:
        raise WorkbenchError(f"The Hub refused: {str(error).splitlines()[0]}") from error
    return str(made)
