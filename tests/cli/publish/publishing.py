"""Processes of `anexa publish` that know only a Hub on this machine."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.cli.process import ANEXA, environment
from tests.hub.server import Hub

CARD = """---
license: cc-by-4.0
tags: [mine]
datasets: [letters]
---

# Letters: é

My own words.
"""


def environment_of(hub: Hub, place: Path, token: str, **more: str) -> dict[str, str]:
    """Environment variables of a process that knows only this Hub and this token."""
    known = environment(
        HF_ENDPOINT=hub.address, HF_HOME=str(place / "hf"), HF_HUB_DISABLE_XET="1", **more
    )
    known = {name: value for name, value in known.items() if "TOKEN" not in name}
    if "HF_HUB_OFFLINE" not in more:
        known.pop("HF_HUB_OFFLINE", None)
    if token:
        known["HF_TOKEN"] = token
    return known


def publish(
    hub: Hub,
    place: Path,
    *arguments: str,
    token: str = "hf_ada",
    before: Sequence[str] = (),
    **more: str,
) -> subprocess.CompletedProcess[str]:
    """`anexa publish`, with only this Hub and this token; `before` stands before the command."""
    return subprocess.run(
        [*before, *ANEXA, "publish", *arguments],
        cwd=place,
        env=environment_of(hub, place, token, **more),
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
