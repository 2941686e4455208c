"""Where a command writes to: what kind of file an ending asks for, and whether there is a place for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from workbench.errors import FileTrouble, UsageError

FIGURE_ENDINGS = (".png", ".svg", ".pdf")


def target(text: str, kind: str | None, endings: Mapping[str, str], of_folder: str = "") -> tuple[Path, str]:
    """The path of `--to` and the kind of file that goes there: `kind` where it was said, else what its ending means by
    `endings`. A folder, there already or written with a / at its end, gets a file a run, of the kind `of_folder`.

    Raises UsageError for an ending that says nothing, FileTrouble where the folder around the path is missing."""
    path = Path(text).expanduser()
    is_folder = bool(of_folder) and (path.is_dir() or text.endswith(("/", "\\")))
    chosen = kind or (of_folder if is_folder else endings.get(path.suffix.lower(), ""))
    if not chosen and of_folder and path.suffix.lower() in FIGURE_ENDINGS:
        raise UsageError(
            f"{text!r} is the name of a picture; all figures of a run go into a folder: --format figures --to FOLDER."
        )
    if not chosen:
        kinds = "|".join(dict.fromkeys(endings.values()))
        raise UsageError(f"The ending of {text!r} does not say what to write; add --format {kinds}.")
    if not path.absolute().parent.is_dir():
        raise FileTrouble(f"There is no folder {str(path.parent)!r}. Make it first, or write elsewhere.")
    if is_folder:
        try:
            path.mkdir(exist_ok=True)
        except OSError as error:
            sentence = (error.strerror or str(error)).lower()
            raise FileTrouble(f"{text!r} is no folder that can be written to: {sentence}.") from error
    return path, chosen
