"""Numbers of examples of properties that need more or fewer than their profile has."""

from __future__ import annotations

from hypothesis import settings


def examples(number: int) -> settings:
    """Return the settings of a property.

    Args:
        number: number of examples in the profile `thorough`; the profile `fast` has a third.
    """
    is_thorough = settings().max_examples == settings.get_profile("thorough").max_examples
    return settings(max_examples=number if is_thorough else -(-number // 3))
