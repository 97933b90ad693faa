"""The files of web pages, served from packages."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import Response

# Media types of the files of a page, by suffix; files with other suffixes are not served.
MEDIA_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


def page_files(package: str, prefix: str) -> dict[str, Path]:
    """List the files of a page that have a suffix in `MEDIA_TYPES`.

    Args:
        package: package with a folder `page`, such as "anexa.server".
        prefix: prefix of the URL paths, such as "/page/".

    Returns:
        The path of each file on the disk, by its URL path, such as "/page/index.html".
    """
    folder = Path(str(importlib.resources.files(package) / "page"))
    return {f"{prefix}{path.name}": path for path in folder.iterdir() if path.suffix in MEDIA_TYPES}


def add_files(app: FastAPI, files: Mapping[str, Path]) -> None:
    """Add a route for each file of a page.

    The files are read when the routes are added and kept in memory: later changes have no effect.

    Args:
        app: application that gets the routes.
        files: path of each file on the disk, by its URL path.
    """

    def route(path: Path) -> Any:
        content, media_type = path.read_bytes(), f"{MEDIA_TYPES[path.suffix]}; charset=utf-8"

        async def file() -> Response:
            return Response(content, media_type=media_type)

        return file

    for url_path, path in files.items():
        app.add_api_route(url_path, route(path), include_in_schema=False)
