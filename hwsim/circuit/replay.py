"""Compiled: a module's leaves made where they stand, one after the other; each by its program (circuit/program.py).

Literals of a leaf are its own while it is made: inputs numbered by their first appearance, then its gates. Gates and
their folding are those of circuit/gates.py, call by call; a test compares the two.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from formats.kernels.jit import kernel
from hwsim.circuit.program import AND, ANY, COLUMNS, END, MUX, RIPPLE, SUM, TABLE, TOTAL, XOR
from hwsim.circuit.wiring import CALL, LEAF, REGISTER

# All integers are np.int64, constants too: each further type of an argument is one more function to compile.
Array = Any
CONSTANT, INPUT = 0, 1
CARRY, OVER = SUM + 1, TOTAL + 1


@kernel
def _gate(g: Any, kind: int, a: int, b: int, c: int) -> Any:
    """A gate's literal: folded, found or made. Gates.both, differ, choose; kinds beyond MUX as they are given.

    g: kind [n], inputs [n, 3], slots, slot [n], and `at`: how many nodes there are, the first of this leaf, how many
    inputs the leaf has. A slot of the table holds a node of this leaf, or it is free: leaves before it count nothing.
    """
    kinds, inputs, slots, slot, at = g
    turned = 0
    if kind == MUX:
        if a == 1 or b == c:
            return b
        if a == 0:
            return c
        if a & 1:
            a, b, c = a ^ 1, c, b
        if b < 2 or b >> 1 == a >> 1:
            kind, turned = AND, int(b == 1 or b == a)  # either(a, c), or both(not a, c)
            a, b, c = a ^ 1, c ^ turned, 0
        elif c < 2 or c >> 1 == a >> 1:
            kind, turned = AND, int(c == 1 or c == a ^ 1)  # either(not a, b), or both(a, b)
            b, c = b ^ turned, 0
        elif b == c ^ 1:
            kind, b, c = XOR, c, 0
        elif b & 1:
            turned, b, c = 1, b ^ 1, c ^ 1
    if kind == XOR:
        turned = (a & 1) ^ (b & 1)
        a, b = a & ~1, b & ~1
    if kind <= XOR and a > b:
        a, b = b, a
    if kind == XOR and (a == 0 or a == b):
        return turned ^ (b if a == 0 and a != b else 0)
    if kind == AND:
        if a == 0 or a ^ 1 == b:
            return turned
        if a == 1 or a == b:
            return b ^ turned
    mask = len(slots) - 1
    place = ((((a * 0x9E3779B1) ^ b) * 0x85EBCA6B ^ c) * 0xC2B2AE35 + kind * 0x27D4EB2F) >> 11 & mask
    while slots[place] >= at[1]:
        node = slots[place]
        if kinds[node] == kind and inputs[node, 0] == a and inputs[node, 1] == b and inputs[node, 2] == c:
            return 2 * (node - at[1] + at[2] + 1) ^ turned
        place = (place + 1) & mask
    node = at[0]
    kinds[node] = kind
    inputs[node, 0], inputs[node, 1], inputs[node, 2] = a, b, c
    slots[place], slot[node] = node, place
    at[0] = node + 1
    return 2 * (node - at[1] + at[2] + 1) ^ turned


@kernel
def _sorted(a: int, b: int, c: int) -> Any:
    if a > b:
        a, b = b, a
    if b > c:
        b, c = c, b
    if a > b:
        a, b = b, a
    return a, b, c


@kernel
def _third(g: Any, a: int, b: int, carry: int) -> Any:
    """Where `carry` is the carry of a, b and a third bit: that bit; else -1."""
    kinds, inputs, _, _, at = g
    node = (carry >> 1) - at[2] - 1 + at[1]
    if node < at[1] or (kinds[node] != CARRY and kinds[node] != OVER):
        return -1
    turned = carry & 1
    x, y, z = np.int64(inputs[node, 0]) ^ turned, np.int64(inputs[node, 1]) ^ turned, np.int64(inputs[node, 2]) ^ turned
    if a == y:
        x, y = y, x
    elif a == z:
        x, z = z, x
    if a != x:
        return -1
    return z if b == y else y if b == z else -1


@kernel
def _full(g: Any, kind: int, a: int, b: int, c: int) -> Any:
    """Gates.full: sum and carry; kind: of the sum, SUM or TOTAL."""
    a, b, c = _sorted(a, b, c)
    none: Any = np.int64(0)
    if a <= 1:
        carry = _gate(g, np.int64(AND), b ^ a, c ^ a, none) ^ a  # both, or either
        return _gate(g, np.int64(XOR), b, c, none) ^ a, carry
    if a >> 1 == b >> 1:
        return (c, a) if a == b else (c ^ 1, c)
    if b >> 1 == c >> 1:
        return (a, b) if b == c else (a ^ 1, a)
    x, y, z = a, b, c
    for turn in range(3):
        if turn == 1:
            y, z = c, b
        elif turn == 2:
            x, y, z = b, c, a
        below = _third(g, x, y, z)
        if below >= 0:
            return _gate(g, np.int64(MUX), _gate(g, np.int64(XOR), x, y, none), below ^ 1, x), z
    ones = (a & 1) + (b & 1) + (c & 1)
    turned = int(ones >= 2)  # the majority of three inverted bits is the majority inverted
    total = _gate(g, kind, a & ~1, b & ~1, c & ~1) ^ (ones & 1)
    a, b, c = _sorted(a ^ turned, b ^ turned, c ^ turned)
    return total, _gate(g, kind + 1, a, b, c) ^ turned


@kernel
def _ripple(g: Any, first: Array, second: Array, carry: int, width: int, found: Array, symbol: int) -> Any:
    """Gates.ripple_out into `found` from `symbol` on; the carry out is returned alone."""
    for bit in range(width):
        found[symbol + bit], carry = _full(g, np.int64(SUM), first[bit], second[bit], carry)
    return carry


@kernel
def _columns(g: Any, code: Array, at: int, literals: Array, symbol: int) -> Any:
    """Gates.columns, of the call at code[at], into literals from `symbol` on. Returns where the next call stands."""
    width, sparse, count = code[at + 1], code[at + 2], code[at + 3]
    at += 4
    most, place = 3, at
    for _ in range(count):
        most = max(most, code[place])
        place += code[place] + 1
    # A stage leaves two bits of a column at most, a third as totals, and a third of the column below as carries.
    row, after = np.empty((width + 1, most + 4), np.int64), np.empty((width + 1, most + 4), np.int64)
    size, size_after = np.zeros(width + 1, np.int64), np.zeros(width + 1, np.int64)
    for column in range(count):
        for bit in range(code[at]):
            literal = literals[code[at + 1 + bit] >> 1] ^ (code[at + 1 + bit] & 1)
            if literal or not sparse:
                row[column, size[column]] = literal
                size[column] += 1
        at += code[at] + 1
    again = True
    while again:
        again = False
        for column in range(width):
            again |= size[column] > 2
        if not again:
            break
        carried = 0  # carries that column - 1 put into this column, in `after`
        for column in range(width):
            rest = size[column] % 3 if size[column] > 2 else size[column]
            adders = (size[column] - rest) // 3
            # What is left stands first, then the carries from below, then totals.
            for bit in range(carried - 1, -1, -1):
                after[column, rest + bit] = after[column, bit]
            for bit in range(rest):
                after[column, bit] = row[column, 3 * adders + bit]
            for adder in range(adders):
                bits = row[column, 3 * adder : 3 * adder + 3]
                total, carry = _full(g, np.int64(TOTAL), bits[0], bits[1], bits[2])
                after[column, rest + carried + adder] = total
                after[column + 1, adder] = carry
            size_after[column] = rest + carried + adders
            carried = adders
        for column in range(width):
            size[column] = 0
            for bit in range(size_after[column]):
                if after[column, bit]:
                    row[column, size[column]] = after[column, bit]
                    size[column] += 1
    first, second = np.zeros(width, np.int64), np.zeros(width, np.int64)
    for column in range(width):
        if size[column] > 0:
            first[column] = row[column, 0]
        if size[column] > 1:
            second[column] = row[column, 1]
    _ripple(g, first, second, np.int64(0), width, literals, symbol)
    return at


@kernel
def _decided(g: Any, code: Array, at: int, order: Array, literals: Array, level: Array) -> Any:
    """A column of a table as multiplexers, the first address bit of the order next to the constants."""
    address = len(order)
    column = at + 2 + address
    for entry in range(1 << address):
        place = 0
        for bit in range(address):
            place += (entry >> bit & 1) << order[bit]
        level[entry] = code[column + place]
    size = 1 << address
    for bit in range(address):
        index = code[at + 2 + order[bit]]
        select = literals[index >> 1] ^ (index & 1)
        size >>= 1
        for entry in range(size):
            level[entry] = _gate(g, np.int64(MUX), select, level[2 * entry + 1], level[2 * entry])
    return level[0]


@kernel
def _next_order(order: Array) -> Any:
    """The permutation that follows in lexicographic order, in its place; False after the last."""
    last = len(order) - 2
    while last >= 0 and order[last] > order[last + 1]:
        last -= 1
    if last < 0:
        return False
    other = len(order) - 1
    while order[other] < order[last]:
        other -= 1
    order[last], order[other] = order[other], order[last]
    low, high = last + 1, len(order) - 1
    while low < high:
        order[low], order[high] = order[high], order[low]
        low, high = low + 1, high - 1
    return True


@kernel
def _table(g: Any, code: Array, at: int, literals: Array, level: Array, most_ordered: int) -> Any:
    """Gates.table, of the call at code[at]: in the order of address bits that adds the fewest gates."""
    kinds, _, slots, slot, count = g
    address = code[at + 1]
    order, best, least = np.empty(address, np.int64), np.empty(address, np.int64), 1 << 30
    for bit in range(address):
        order[bit] = best[bit] = bit
    more = address <= most_ordered
    while more:
        before, cost = count[0], 0
        _decided(g, code, at, order, literals, level)
        for node in range(count[0] - 1, before - 1, -1):  # last in, first out: no chain of slots is broken
            cost += 1 if kinds[node] == AND else 2
            slots[slot[node]] = 0
        count[0] = before
        if cost < least:
            least = cost
            for bit in range(address):
                best[bit] = order[bit]
        more = _next_order(order)
    return _decided(g, code, at, best, literals, level)


@kernel
def _replay(g: Any, code: Array, at: int, literals: Array, symbol: int, scratch: Array, most_ordered: int) -> Any:
    """The calls of a program from code[at] on; literals [symbols] are filled from `symbol` on. Returns where END is."""
    while code[at] != END:
        call, width = code[at], code[at + 1]
        if call <= TOTAL:
            for bit in range(3):
                x = code[at + 1 + bit]
                scratch[bit] = literals[x >> 1] ^ (x & 1)
            at += 4
            if call <= MUX:
                literals[symbol] = _gate(g, call, scratch[0], scratch[1], scratch[2])
            else:
                literals[symbol], literals[symbol + 1] = _full(g, call, scratch[0], scratch[1], scratch[2])
                symbol += 1
            symbol += 1
        elif call == COLUMNS:
            at = _columns(g, code, at, literals, symbol)
            symbol += width
        elif call == TABLE:
            literals[symbol] = _table(g, code, at, literals, scratch, most_ordered)
            at += 2 + width + (1 << width)
            symbol += 1
        elif call == ANY:
            scratch[0] = 0
            for bit in range(width):
                x = code[at + 2 + bit]
                scratch[bit] = literals[x >> 1] ^ (x & 1)
            at += 2 + width
            while width > 1:
                for pair in range(width // 2):
                    scratch[pair] = (
                        _gate(g, np.int64(AND), scratch[2 * pair] ^ 1, scratch[2 * pair + 1] ^ 1, np.int64(0)) ^ 1
                    )
                if width & 1:
                    scratch[width // 2] = scratch[width - 1]
                width = (width + 1) // 2
            literals[symbol] = scratch[0]
            symbol += 1
        else:  # two rows and a bit
            one = literals[code[at + 2] >> 1] ^ (code[at + 2] & 1)
            for bit in range(2 * width):
                x = code[at + 3 + bit]
                scratch[bit] = literals[x >> 1] ^ (x & 1)
            at += 3 + 2 * width
            if call == RIPPLE:
                literals[symbol + width] = _ripple(g, scratch, scratch[width:], one, width, literals, symbol)
                symbol += 1
            else:
                for bit in range(width):
                    literals[symbol + bit] = _gate(g, np.int64(MUX), one, scratch[bit], scratch[width + bit])
            symbol += width
    return at


@kernel
def _row(code: Array, at: int, base: int, signals: Array, found: Array, place: int) -> Any:
    """A row of a wiring read: its literals into found[place:]. Returns where the row and its literals end.

    Of each part its width, its first signal beyond `base` (of constants -1 - value), how often it stands there; then 0.
    """
    while code[at]:
        width, first = code[at], code[at + 1]
        for _ in range(code[at + 2]):
            for bit in range(width):
                found[place] = signals[base + first + bit] if first >= 0 else (-1 - first) >> bit & 1
                place += 1
        at += 3
    return at + 1, place


@kernel
def _outside(literal: int, own: Array, fresh: int, count: int) -> Any:
    """A leaf's literal as one of the network: own [fresh] are the nodes at its inputs, its gates begin at `count`."""
    node = literal >> 1
    if node == 0:
        return literal
    return 2 * (own[node - 1] if node <= fresh else count + node - fresh - 1) + (literal & 1)


@kernel
def _leaf(
    g: Any, code: Array, program: int, bits: int, work: Any, signals: Array, signal: int, most_ordered: int
) -> None:
    """A leaf's gates behind all others, by its program; its outputs into `signals`.

    work: literals, the leaf's input bits as literals of the network at 1 .. bits - 1; scratch; own; numbers, zeros.
    """
    _, inputs, _, _, at = g
    literals, scratch, own, numbers = work
    count, fresh = at[0], np.int64(0)
    literals[0] = 0
    for bit in range(1, bits):
        node = literals[bit] >> 1
        if node:
            if not numbers[node]:
                own[fresh] = node
                fresh += 1
                numbers[node] = fresh
            literals[bit] = 2 * numbers[node] + (literals[bit] & 1)
    at[1], at[2] = count, fresh
    end = _replay(g, code, program + 1, literals, bits, scratch, most_ordered)
    for node in range(count, at[0]):
        for port in range(3):
            inputs[node, port] = _outside(np.int64(inputs[node, port]), own, fresh, count)
    for bit in range(code[program]):
        symbol = code[end + 1 + bit]
        signals[signal + bit] = _outside(literals[symbol >> 1] ^ (symbol & 1), own, fresh, count)
    for bit in range(fresh):
        numbers[own[bit]] = 0


@kernel
def placed(
    code: Array, start: int, given: int, rows: int, signal_count: int, states: int, most: int, largest: int,
    depth: int, most_ordered: int,
) -> Any:  # fmt: skip
    """A module's network: how many nodes, kind [most], inputs [most, 3], owner [most], states, driven, outputs.

    code: programs and wirings; the module's begins at `start`. The other sizes are those of circuit/wiring.py's Wired;
    rows: bits of the output ports.
    """
    kinds, inputs, owners = np.empty(most, np.uint8), np.empty((most, 3), np.int32), np.empty(most, np.int32)
    size = 1024
    while size < 2 * most:
        size *= 2
    slots, slot, at = np.zeros(size, np.int32), np.empty(most, np.int32), np.zeros(3, np.int64)
    g = (kinds, inputs, slots, slot, at)
    own, numbers = np.empty(largest, np.int64), np.zeros(most, np.int64)  # of a leaf: nodes of inputs; their numbers
    literals, scratch, signals = (
        np.empty(largest, np.int64),
        np.empty(largest, np.int64),
        np.empty(signal_count, np.int64),
    )
    work = (literals, scratch, own, numbers)
    state, driven, outputs = np.empty(states, np.int32), np.empty(states, np.int64), np.empty(rows, np.int64)
    callers = np.zeros((depth + 1, 4), np.int64)  # where each goes on; its first signal, leaf and register
    for node in range(given + 1):
        kinds[node] = INPUT if node else CONSTANT
        inputs[node, 0] = inputs[node, 1] = inputs[node, 2] = 0
        owners[node] = -1
        if node:
            signals[node - 1] = 2 * node
    at[0] = given + 1
    none: Any = np.int64(0)
    signal, held, here, level, base, leaf, register = given, 0, start, 0, none, none, none
    while True:
        what = code[here]
        if what == REGISTER:
            for _ in range(code[here + 1]):
                node = at[0]
                kinds[node] = INPUT
                inputs[node, 0] = inputs[node, 1] = inputs[node, 2] = 0
                owners[node] = leaf + code[here + 2]
                signals[signal], state[held] = 2 * node, node
                at[0], signal, held = node + 1, signal + 1, held + 1
            here += 3
        elif what == LEAF:
            program, owner, count = code[here + 1], leaf + code[here + 2], at[0]
            here, bits = _row(code, here + 3, base, signals, literals, np.int64(1))
            _leaf(g, code, program, bits, work, signals, signal, most_ordered)
            signal += code[program]
            for node in range(count, at[0]):
                owners[node] = owner
        elif what == CALL:
            below, first, begin = code[here + 1], leaf + code[here + 2], signal
            here, signal = _row(code, here + 3, base, signals, signals, signal)
            callers[level, 0], callers[level, 1], callers[level, 2], callers[level, 3] = here, base, leaf, register
            level, here, base, leaf, register = level + 1, below, begin, first, held
        else:
            here, _ = _row(code, here + 1, base, signals, driven, register)
            if level == 0:
                _row(code, here, base, signals, outputs, np.int64(0))
                break
            here, signal = _row(code, here, base, signals, signals, signal)
            level -= 1
            here, base, leaf, register = callers[level, 0], callers[level, 1], callers[level, 2], callers[level, 3]
    return at[0], kinds, inputs, owners, state, driven.astype(np.int32), outputs.astype(np.int32)
