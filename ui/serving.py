"""What the page loads besides Gradio's own files: our script, fonts and icon, plotly, artifacts; and uploads.

Nothing here turns text of a request into a path: artifacts are asked for by hash, static files by a name out
of a fixed table, and an upload is stored by its content."""

from __future__ import annotations

import gzip
import re
import tempfile
from functools import cache
from pathlib import Path
from urllib.parse import quote

import plotly
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from storage import ArtifactNotFound, StorageError
from ui import inquiry, theme
from ui.visitors import House
from workbench.errors import WorkbenchError
from workbench.runs import Workbench

HASH = re.compile(r"[0-9a-f]{64}")
SHOWN = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
"""Types that a browser may show in place; everything else is handed over as a download."""
FOREVER = "public, max-age=31536000, immutable"


def routes(workbench: Workbench, house: House) -> list[Route]:
    """The routes under wb/."""
    plotly_script = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    static: dict[str, tuple[Path, str]] = {
        "plotly.min.js": (plotly_script, "text/javascript"),
        "icon.svg": (theme.STATIC / "icon.svg", "image/svg+xml"),
        **{f"fonts/{font.name}": (font, "font/woff2") for font in (theme.STATIC / "fonts").glob("*.woff2")},
    }

    async def static_file(request: Request) -> Response:
        path, media_type = static[request.url.path.split("/wb/", 1)[1]]
        if media_type != "text/javascript" or "gzip" not in request.headers.get("accept-encoding", ""):
            return FileResponse(path, media_type=media_type, headers={"Cache-Control": FOREVER})
        data = await run_in_threadpool(packed, path)
        headers = {"Cache-Control": FOREVER, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        return Response(data, media_type=media_type, headers=headers)

    async def page_script(request: Request) -> Response:
        return Response(theme.script(), media_type="text/javascript", headers={"Cache-Control": FOREVER})

    async def artifact(request: Request) -> Response:
        return await run_in_threadpool(
            serve_artifact, workbench, request.path_params["hash"], request.query_params.get("name", "")
        )

    async def upload(request: Request) -> Response:
        return await take_upload(request, house)

    async def question(request: Request) -> Response:
        return await inquiry.take_question(request, house)

    return [
        *(Route(f"/wb/{name}", static_file) for name in static),
        Route("/wb/page.js", page_script),
        Route("/wb/artifact/{hash}", artifact),
        Route("/wb/upload", upload, methods=["POST"]),
        Route("/wb/inquiry", question, methods=["POST"]),
    ]


@cache
def packed(path: Path) -> bytes:
    """A large script as gzip, made once: Gradio's server would compress it anew for every reader."""
    return gzip.compress(path.read_bytes(), 6)


def serve_artifact(workbench: Workbench, content_hash: str, name: str = "") -> Response:
    """The bytes of an artifact. Pictures are shown, everything else is a download under `name`."""
    if not HASH.fullmatch(content_hash):
        return JSONResponse({"error": "An artifact is asked for by its hash: 64 hexadecimal digits."}, 404)
    try:
        data = workbench.store.artifacts.read(content_hash)
        media_type, stored_as = _known_as(workbench, content_hash, data)
    except ArtifactNotFound:
        return JSONResponse({"error": "There is no such artifact here."}, 404)
    except StorageError as error:
        return JSONResponse({"error": str(error)}, 503)
    shown = media_type in SHOWN
    headers = {
        "Cache-Control": FOREVER,
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    if name or not shown:
        plain = re.sub(r"[^\w. -]+", "_", name or stored_as or content_hash)[:200]
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(plain)}"
    return Response(data, media_type=media_type if shown else "application/octet-stream", headers=headers)


def _known_as(workbench: Workbench, content_hash: str, data: bytes) -> tuple[str, str]:
    """Media type and name of an artifact. A live picture that was just replaced has lost its row while a page
    still asks for it: its bytes tell what it is."""
    try:
        info = workbench.store.artifacts.info(content_hash)
    except ArtifactNotFound:
        return ("image/png" if data.startswith(b"\x89PNG\r\n\x1a\n") else "application/octet-stream"), ""
    return info.media_type, info.name


async def take_upload(request: Request, house: House) -> Response:
    """Store the request's body as an artifact and answer the reference of it.

    A page of another site cannot send here: its browser refuses the header without our consent."""
    name = request.query_params.get("name", "")
    if request.headers.get("x-workbench") != "1" or not name:
        return JSONResponse({"error": "An upload needs a name and comes from the workbench's own page."}, 403)
    viewer, limit, size, refusal = house.viewer(request), house.access.max_upload_bytes, 0, ""
    try:
        await run_in_threadpool(house.access.require_upload, viewer)
    except WorkbenchError as error:
        refusal = str(error)
    try:
        # Received on disk: many that come slowly at a time must not fill the memory. What is refused is received all the
        # same, and not kept: a browser that is cut off while it sends does not read why.
        with tempfile.TemporaryFile(prefix="workbench-upload-") as file:
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    return JSONResponse({"error": f"The file is larger than {limit // 2**20} MB."}, 413)
                if not refusal:
                    file.write(chunk)
            if refusal:
                return JSONResponse({"error": refusal}, 422)
            file.seek(0)
            reference = await run_in_threadpool(lambda: house.access.upload(viewer, file.read(), name))
    except ClientDisconnect:
        return JSONResponse({"error": "The upload broke off."}, 400)
    except WorkbenchError as error:
        return JSONResponse({"error": str(error)}, 422)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        return JSONResponse({"error": f"The upload could not be received: {reason}."}, 507)
    return JSONResponse({"ref": reference})
