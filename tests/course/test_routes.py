"""The routes of the course refuse what is no chapter."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from anexa.course.routes import add_course
from anexa.server.error_handlers import add_error_handlers


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        ("six", 'number must be an integer, not "six"'),
        ("1_0", 'number must be an integer, not "1_0"'),
        ("99", "there is no chapter 99: anexa learn --list shows all"),
    ],
)
def test_wrong_chapter_is_refused(number: str, sentence: str) -> None:
    app = FastAPI()
    add_course(app)
    add_error_handlers(app, "see /learn")
    response = TestClient(app).get(f"/api/course/{number}")
    assert response.status_code == 400
    assert response.json()["error"]["message"] == sentence
