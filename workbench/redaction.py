"""Sentences without the paths of this machine. Apart from `failures`, because the list of engines needs it at once."""

import re

_ABSOLUTE_PATH = re.compile(r"(?<![\w.:/\\])(?:[A-Za-z]:)?[\\/](?:[^\s\\/:'\"<>|]+[\\/])+([^\s\\/:'\"<>|]+)")


def redact(text: str) -> str:
    """`text` with each absolute path cut to its last part."""
    return _ABSOLUTE_PATH.sub(r"\1", text)
