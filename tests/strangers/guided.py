"""`make fuzz-coverage`: the same inputs, made of bytes that a coverage-guided fuzzer (atheris) chooses.

The fuzzer's bytes are the bits of a `Random`; what is left to decide when there are no more of them is decided by
lot, in the same way each time. Atheris is not in the lock file, because there are wheels for Linux and some
Pythons only.
"""

from __future__ import annotations

import argparse
import random
import sys
import zlib
from collections.abc import Sequence
from typing import SupportsIndex

import atheris

with atheris.instrument_imports(include=["proxy", "rules", "tests.strangers"]):
    from tests.strangers.properties import PROPERTIES

_LONGEST_BYTES = 2048
_HANG_SECONDS = 10


class Chosen(random.Random):
    """Decides as the bytes say, and by lot when there are no more of them: always the same would go on for ever."""

    def __init__(self, data: bytes) -> None:
        super().__init__(zlib.crc32(data))
        self._data, self._at = data, 0

    def random(self) -> float:
        return self.getrandbits(16) / 65536

    def getrandbits(self, k: SupportsIndex, /) -> int:
        bits = int(k)
        count = (bits + 7) // 8
        if self._at + count > len(self._data):
            return super().getrandbits(bits)
        self._at += count
        return int.from_bytes(self._data[self._at - count : self._at], "little") & ((1 << bits) - 1)

    def _randbelow(self, n: int) -> int:
        """Random's own throws values away until one is small enough."""
        return self.getrandbits(n.bit_length() + 4) % n


def main(words: Sequence[str]) -> None:
    arguments = argparse.ArgumentParser(prog="python -m tests.strangers.guided", description=__doc__)
    arguments.add_argument("--only", choices=PROPERTIES, required=True)
    arguments.add_argument("--seconds", type=int, default=300)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--again", help="a file that the fuzzer has kept: only this input, once")
    given = arguments.parse_args(words)
    check = PROPERTIES[given.only]
    options = [f"-max_total_time={given.seconds}", f"-seed={given.seed}", f"-max_len={_LONGEST_BYTES}"]
    options += [f"-timeout={_HANG_SECONDS}", "-rss_limit_mb=1024", "-print_final_stats=1", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *([given.again] if given.again else options)], lambda data: check(Chosen(data)))
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
