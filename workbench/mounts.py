"""What kind of file system a folder lies on: SQLite's write-ahead log needs shared memory, which network mounts lack."""

from __future__ import annotations

from pathlib import Path

NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "beegfs", "gpfs"}
)
MOUNTS = Path("/proc/self/mounts")


def is_network_mount(folder: Path, mounts: Path = MOUNTS) -> bool:
    """Whether `folder` lies on a network mount, or on one through FUSE (a bucket, say). False where the system
    cannot tell."""
    try:
        lines = mounts.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return False
    best, kind = -1, ""
    target = folder.absolute()
    for line in lines:
        parts = line.split()
        if len(parts) < 3:
            continue
        point = Path(parts[1].replace("\\040", " "))
        # The longest mount point wins, of two at one place the later one.
        if (target == point or target.is_relative_to(point)) and len(point.parts) >= best:
            best, kind = len(point.parts), parts[2]
    return kind in NETWORK or kind.startswith("fuse.") or kind == "fuse"
