"""nginx on the loopback address with the site of deploy/nginx.conf, before a server of the tests."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

NGINX = shutil.which("nginx") or next((path for path in ("/usr/sbin/nginx",) if Path(path).exists()), None)
SITE = Path(__file__).parents[2] / "deploy" / "nginx.conf"


class Front:
    """One nginx of our own: its configuration, its folder, its process."""

    def __init__(self, folder: Path, port: int, behind: str) -> None:
        assert NGINX is not None
        site = SITE.read_text("utf-8").replace(
            "127.0.0.1:7860", re.sub(r"^https?://", "", behind).rstrip("/")
        )
        # A browser asks the root of a site for its icon, whatever page it shows: that is the site's, and not ours to answer.
        icon = "location = /favicon.ico { return 204; }"
        site = site.replace("listen 8080;", f"listen 127.0.0.1:{port};\n    {icon}")
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        rooms = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
        (folder / "nginx.conf").write_text(
            f"daemon off;\nworker_processes 1;\npid {folder}/pid;\nerror_log {folder}/error.log;\n"
            f"events {{}}\nhttp {{\naccess_log off;\n{rooms}{site}\n}}\n"
        )
        self.url = f"http://127.0.0.1:{port}/papers/"
        command = [
            NGINX,
            "-p",
            str(folder),
            "-c",
            str(folder / "nginx.conf"),
            "-e",
            str(folder / "error.log"),
        ]
        self.process = subprocess.Popen(command)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=10)
