"""The course over HTTP: the list of chapters, and each of them as HTML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import FastAPI

from anexa.course.chapters import load_chapter, load_chapters
from anexa.course.html import to_html
from anexa.server.pages import page_files
from anexa.server.parameters import IntParameter


def add_course(app: FastAPI) -> dict[str, Path]:
    """Add the routes of the course to an application.

    Returns:
        The files of the page by their URL path; the page itself is at /learn.
    """

    @app.get("/api/course")
    def list_chapters() -> list[dict[str, Any]]:
        return [{"number": one.number, "title": one.title} for one in load_chapters().values()]

    @app.get("/api/course/{number}")
    def show_chapter(number: IntParameter, student: str = "") -> dict[str, Any]:
        found = load_chapter(number)
        return {"number": number, "title": found.title, "html": to_html(found, student)}

    files = page_files("anexa.course", "/course/")
    return files | {"/learn": files["/course/index.html"]}
