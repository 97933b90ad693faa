"""Facts about the garden of the corpus "garden": four about each plant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Attribute: TypeAlias = Literal["color", "bed", "month", "gardener"]
"""Name of a fact about a plant, which is an attribute of `Plant`."""


@dataclass(frozen=True)
class Plant:
    """A plant of the garden, with the four attributes that questions ask for.

    Attributes:
        name: name, without an article.
        color: color of its flowers, leaves or fruit.
        bed: bed in which it grows.
        month: month in which it is at its best.
        gardener: who waters it.
    """

    name: str
    color: str
    bed: str
    month: str
    gardener: str

    @property
    def words(self) -> dict[str, str]:
        """Words that fill in templates, by placeholder: name, attributes, and forms of words.

        The forms agree with the name in number, such as "are" for the placeholder "is".
        """
        plural = self.name.endswith("s") and self.name not in ("cosmos", "iris")
        forms = ("are", "do", "they", "them", "") if plural else ("is", "does", "it", "it", "s")
        return vars(self) | dict(zip(("is", "does", "it", "them", "s"), forms))


# The plants of the garden, and all their beds, gardeners and colors, each once.
PLANTS = tuple(
    Plant(*line.split(", "))
    for line in """\
roses, red, wall bed, June, Anna
tulips, yellow, gate bed, April, Ben
lilies, white, pond bed, July, Clara
lavender, purple, herb bed, July, Anna
mint, green, herb bed, May, Omar
basil, green, greenhouse, August, Omar
sunflowers, yellow, wall bed, August, Ben
poppies, orange, gate bed, June, Clara
tomatoes, red, greenhouse, September, Omar
pumpkins, orange, far bed, October, Ben
beans, green, far bed, July, Clara
asters, blue, gate bed, September, Anna
iris, blue, pond bed, May, Clara
peonies, pink, wall bed, May, Anna
carrots, orange, far bed, August, Ben
cosmos, pink, gate bed, October, Omar""".splitlines()
)
BEDS = tuple(dict.fromkeys(plant.bed for plant in PLANTS))
GARDENERS = tuple(dict.fromkeys(plant.gardener for plant in PLANTS))
COLORS = tuple(dict.fromkeys(plant.color for plant in PLANTS))
