"""What the DSP48E2 model is tried on: configurations and words for every pin, the same on every machine.

Words come from splitmix64, so that a committed digest of the vendor's answers speaks for inputs nobody has to store.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.fpga.dsp48e2 import MULTIPLY, WIDTHS, Dsp48e2

Words = NDArray[np.int64]

EPISODES, CYCLES = 32, 66  # runs of one slice, each from reset
SINGLES, COLUMNS, COLUMN = 44, 3, 4  # slices alone; columns and their slices


def splitmix64(seed: int, count: int) -> NDArray[np.uint64]:
    """`count` words of 64 bits. Source: Steele, Lea, Flood, OOPSLA 2014."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def columns() -> tuple[tuple[Dsp48e2, ...], ...]:
    """Configurations: slices alone, as columns of one, then columns of several with A and B cascades drawn as well."""
    drawn = [_configuration(index) for index in range(SINGLES + COLUMNS * COLUMN)]
    alone = tuple((part,) for part in drawn[:SINGLES])
    return alone + tuple(tuple(drawn[i : i + COLUMN]) for i in range(SINGLES, len(drawn), COLUMN))


def _configuration(index: int) -> Dsp48e2:
    draws = iter(int(word >> np.uint64(20)) for word in splitmix64(index + 1, 64))

    def one(*choices: Any) -> Any:
        return choices[next(draws) % len(choices)]

    areg, breg = one(0, 1, 2), one(0, 1, 2)
    use_mult = one("multiply", "multiply", "multiply", "dynamic", "none")
    return Dsp48e2(
        areg=areg,
        breg=breg,
        acascreg=one(1, 2) if areg == 2 else areg,
        bcascreg=one(1, 2) if breg == 2 else breg,
        creg=one(0, 1),
        dreg=one(0, 1),
        adreg=one(0, 1),
        mreg=0 if use_mult == "none" else one(0, 1),
        preg=one(0, 1, 1),
        opmodereg=one(0, 1),
        carryinselreg=one(0, 1),
        alumodereg=one(0, 1),
        inmodereg=one(0, 1),
        carryinreg=one(0, 1),
        amultsel=one("a", "ad"),
        bmultsel=one("b", "b", "ad"),
        preaddinsel=one("a", "b"),
        a_input=one("direct", "cascade"),
        b_input=one("direct", "cascade"),
        use_mult=use_mult,
        use_simd=one("one48", "one48", "two24", "four12"),
        use_pattern_detect=one(False, True),
        sel_mask=one("mask", "c", "rounding_mode1", "rounding_mode2"),
        sel_pattern=one("pattern", "c"),
        # Masks that leave few bits to compare, or patterns would never be met.
        pattern=one(0, 0, next(draws) % (1 << 44)),
        mask=((1 << 48) - 1) ^ one(0xF, 0x30, 0xFF << 40, 0),
        rnd=next(draws) * 16 % (1 << 48) + 5,
    )


def words(index: int) -> dict[str, Words]:
    """Pin by pin, shape (EPISODES, CYCLES), what slice number `index` gets. Operands are uniform, or small, or corners;
    opcodes are legal, sums more often than logic; a quarter of the cycles hold some registers."""
    count = EPISODES * CYCLES
    names = list(WIDTHS)
    streams = {name: splitmix64((index << 32) + (k << 24) + 7, 2 * count) for k, name in enumerate(names)}
    made: dict[str, Words] = {}
    for name in names:
        raw, kind = streams[name][:count], streams[name][count:] >> np.uint64(9)
        width = WIDTHS[name]
        bits = (raw >> np.uint64(3)).astype(np.int64) & ((1 << width) - 1)
        if width >= 18:
            corner = np.array([0, 1, (1 << width) - 1, 1 << (width - 1), (1 << (width - 1)) - 1])
            small = bits & 15
            choice = (kind % np.uint64(8)).astype(np.int64)
            bits = np.where(choice == 0, corner[bits % 5], np.where(choice == 1, small, bits))
            bits = np.where(choice == 2, -small & ((1 << width) - 1), bits)
        made[name] = bits
    kinds = {name: (streams[name][count:] >> np.uint64(9)).astype(np.int64) for name in names}
    xy = np.array([x | y for x in (0, 2, 3) for y in (0, 8, 12)])
    multiply = kinds["opmode"] & 1 == 1
    made["opmode"] = (made["opmode"] & ~15) | np.where(multiply, MULTIPLY, xy[(kinds["opmode"] >> 1) % 9])
    logic = np.array([4, 5, 6, 7, 12, 13, 14, 15])[made["alumode"] & 7]
    made["alumode"] = np.where(kinds["alumode"] % 4 == 0, logic, made["alumode"] & 3)
    made["hold"] = np.where(kinds["hold"] % 4 == 0, made["hold"], 0)
    return {name: value.reshape(EPISODES, CYCLES) for name, value in made.items()}
