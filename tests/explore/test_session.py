"""The cache of traces: what is kept, and what is dropped first."""

from __future__ import annotations

from anexa.explore.session import LRUCache


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
