"""A row moved up until its top bit is 1, the longest step first: no counter goes ahead of the shifter."""

from __future__ import annotations

from hwsim.circuit import Bits, Build, cat


def normalised(m: Build, name: str, row: Bits, stages: int) -> tuple[Bits, Bits]:
    """The row, moved up by its leading zeros or by 2**stages - 1 where it has more; and by how many. stages > 0.

    Whether a step's places are empty is told of the row before the step ahead, for both ways that may have gone.
    """
    before, last, counts = row, row, list[Bits]()
    some = row  # of the step ahead: whether there was a one, so that it was not taken
    for stage in reversed(range(stages)):
        step = 1 << stage
        stay = m.leaf(f"{name}_stay{step}", "any_bit", width=step, a=before[-step:])
        if counts:
            past = before.above(2 * step)[before.width - step : before.width]
            moved = m.leaf(f"{name}_past{step}", "any_bit", width=step, a=past)
            words = cat(stay, moved)
            stay = m.leaf(f"{name}_some{step}", "multiplexer", width=1, choices=2, words=words, select=some)
        before, some = last, stay
        words = cat(last, last[:-step].above(step))
        last = m.leaf(f"{name}_by{step}", "multiplexer", width=row.width, choices=2, words=words, select=some)
        counts.append(m.leaf(f"{name}_by{step}_taken", "inverter", width=1, a=some))
    return last, cat(*counts)


def moved_up(m: Build, name: str, row: Bits, amount: Bits) -> Bits:
    """The row, moved up by the amount."""
    for stage in reversed(range(amount.width)):
        step = min(1 << stage, row.width)
        words = cat(row[: row.width - step].above(step), row)
        row = m.leaf(f"{name}_by{step}", "multiplexer", width=row.width, choices=2, words=words, select=amount[stage])
    return row
