"""Sessions of the glass box: the cache of traces, and folders that cannot be opened."""

from __future__ import annotations

from typing import NoReturn

import pytest

from anexa.errors import OutOfMemoryError
from anexa.explore.session import LRUCache, OpenFolder


def test_folder_whose_steps_need_too_much_memory_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A lack of memory is not taken for a folder without steps."""

    def fail(*_: object) -> NoReturn:
        raise OutOfMemoryError("the memory is too small: use a smaller model")

    monkeypatch.setattr("anexa.explore.session.Replay", fail)
    with pytest.raises(OutOfMemoryError, match="use a smaller model"):
        OpenFolder(None)


def test_least_recently_used_values_are_dropped_when_the_sizes_exceed_the_limit() -> None:
    computed, measured = list[str](), list[str]()

    def size(value: str) -> int:
        measured.append(value)
        return len(value)

    def get(value: str) -> str:
        def compute() -> str:
            computed.append(value)
            return value

        return cache.get(value, compute)

    cache = LRUCache(5, size)
    for value in ("aa", "bb", "aa", "cc", "aa", "bb"):  # "cc" drops "bb", and "bb" drops "cc"
        assert get(value) == value
    assert computed == ["aa", "bb", "cc", "bb"]
    assert measured == computed, "a value in the cache is not measured again"
    get("of any size")
    get("of any size")
    get("aa")
    assert computed[4:] == ["of any size", "aa"]
