"""Number of examples of a property that needs more or fewer than a profile has."""

from __future__ import annotations

from hypothesis import settings


def is_thorough() -> bool:
    """Return whether the profile is `thorough`."""
    return settings().max_examples == settings.get_profile("thorough").max_examples


def examples(number: int) -> settings:
    """Return settings with a number of examples, as a decorator of a property.

    Args:
        number: number of examples in the profile `thorough`; the profile `fast` has a third.
    """
    return settings(max_examples=number if is_thorough() else -(-number // 3))
