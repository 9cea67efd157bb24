"""What strangers may send: no byte of it, wherever it is cut, does more than end their own connection.

`make fuzz-wire` runs the same on a million inputs.
"""

from __future__ import annotations

import random

import pytest

from tests.strangers.properties import PROPERTIES

_INPUTS = 150


@pytest.mark.parametrize("name", PROPERTIES)
def test_whatever_strangers_send(name: str) -> None:
    for number in range(_INPUTS):
        PROPERTIES[name](random.Random(f"tests {name} {number}"))
