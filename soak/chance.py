"""Chooses by chance."""

import random
from collections.abc import Mapping
from typing import TypeVar

_T = TypeVar("_T")


def one_of(shares: Mapping[_T, float], rnd: random.Random) -> _T:
    """Choose a key with its share as the weight."""
    return rnd.choices(list(shares), list(shares.values()))[0]
