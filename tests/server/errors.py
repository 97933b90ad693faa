"""Errors of the server: their form, and words that several routes share."""

from __future__ import annotations

from typing import Any

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
JSON_TYPE = {"Content-Type": "application/json"}
SURROGATE = "contains an unpaired surrogate, which is not a character"
TOO_LONG = "This model's maximum context length is 2560 tokens. However, the prompt has"


def error_of(response: Any, status: int = 400) -> tuple[str, str | None]:
    """Check that a response is an error in OpenAI's form; return its message and its field."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"].startswith("application/json")
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert 0 < len(error["message"]) < 600
    assert "Traceback" not in response.text
    assert "nput should" not in error["message"], "pydantic's own words"
    return error["message"], error["param"]
