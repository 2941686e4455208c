"""A public Space of this workbench: built as a folder, pushed to the Hub."""

from workbench.space.build import build
from workbench.space.push import push

__all__ = ["build", "push"]
