"""Why a model cannot be had, in one sentence: no such folder, no network, gated, pickles only, damaged.

diffusers, transformers and huggingface_hub wrap one another's errors, so the whole chain is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

LONGEST = 200
"""Characters of a library's own words that an answer repeats."""


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from, outermost first."""
    seen: set[int] = set()
    now: BaseException | None = error
    while now is not None and id(now) not in seen:
        seen.add(id(now))
        yield now
        now = now.__cause__ or now.__context__


def looks_local(source: str) -> bool:
    """Whether a model's name can only be a path: a hub id is `owner/name`, or one word."""
    return (
        Path(source).exists() or source.startswith(("/", ".", "~")) or source.count("/") > 1 or "\\" in source
    )


def reason(error: BaseException, source: str) -> str:
    """Why loading `source` failed and what to do, as the end of a sentence without its full stop.

    Imports huggingface_hub."""
    from huggingface_hub import errors

    if looks_local(source):
        return _local_reason(error, Path(source).expanduser())
    links = list(chain(error))
    for kinds, words in (
        (
            errors.GatedRepoError,
            "its owner asks for a licence to be accepted: accept it on the model's page and log in with "
            "`hf auth login`",
        ),
        (
            errors.RepositoryNotFoundError,
            "there is no such model on the hub, or it is private: check its name",
        ),
        (
            (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError),
            "it is not on this machine and the hub cannot be reached: connect once, or name a local folder",
        ),
        (errors.EntryNotFoundError, "the model has no such file: it is not in a layout that is read here"),
        (errors.HfHubHTTPError, "the hub refused the download: try again later, or name a local folder"),
    ):
        if any(isinstance(link, kinds) for link in links):
            return words
    if any(_is_network(link) for link in links):
        return "the hub cannot be reached: check the network, or name a local folder"
    if _is_pickle(str(error)):
        return _PICKLE
    return f"{first_line(error)}: check the name, or name a local folder"


_PICKLE = "it has pickled weights only, which can run code when they are read: convert them to safetensors"


def _local_reason(error: BaseException, path: Path) -> str:
    from safetensors import SafetensorError

    if not path.exists():
        return "there is no such file or folder: check the path"
    links = list(chain(error))
    if any(isinstance(link, SafetensorError) for link in links):
        return "a safetensors file in it is damaged or cut short: copy it again"
    if path.is_dir() and not any(path.rglob("*.safetensors")):
        if any(found for ending in ("*.bin", "*.pt", "*.pth", "*.ckpt") for found in path.rglob(ending)):
            return _PICKLE
        return "the folder has no safetensors files: name a folder that `save_pretrained` wrote"
    if any("weights_only" in str(link).lower() or "weightsunpickler" in str(link).lower() for link in links):
        return "the file holds more than weights and is not read, because it could run code"
    return f"{first_line(error)}: check that `save_pretrained` wrote the folder"


def _is_network(error: BaseException) -> bool:
    name = type(error).__name__
    return isinstance(error, ConnectionError | TimeoutError) or name in (
        "ConnectError",
        "ConnectTimeout",
        "ReadTimeout",
        "ProxyError",
        "RemoteProtocolError",
    )


def _is_pickle(text: str) -> bool:
    text = text.lower()
    return "safetensors" in text and (
        "not found" in text or "no file named" in text or "could not find" in text
    )


def first_line(error: BaseException) -> str:
    """The first line of an error's text without this machine's home folder, cut between words after `LONGEST`
    characters."""
    text = str(error).strip() or type(error).__name__
    line = text.splitlines()[0].rstrip(".")
    home = str(Path.home())
    line = line.replace(home, "~") if len(home) > 1 else line
    if len(line) <= LONGEST:
        return line
    # one long word, as a path may be, is cut where it is
    return (line[: LONGEST + 1].rpartition(" ")[0].rstrip(" ,;:.") or line[:LONGEST]) + " ..."
