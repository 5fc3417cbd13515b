"""Compiled loops of `simplify`: a network rewritten into fewer gates, one gate at a time.

A gate may become another node or a new AND of two, wherever the difference is not seen: on given patterns, at the
module's outputs or at gates a few steps further on. What only it needed is gone then.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from formats.kernels.jit import kernel
from hwsim.circuit.kernels import AND, FIRST_GATE, MUX, SUM, TOTAL, XOR

Array = Any
WIRE = 1
MOST_DIVISORS = 400  # nodes that a gate may be made of; in larger modules gates become other nodes only


@kernel
def size_of(kind: Any, a: Any, b: Any, c: Any) -> Any:
    """What a gate counts as, with constants and equal inputs known: a kind, or WIRE."""
    if kind in (AND, XOR):
        return WIRE if a < 2 or b < 2 or a >> 1 == b >> 1 else kind
    if kind == MUX:
        if a < 2 or b == c or (b < 2 and c < 2):
            return WIRE
        if b ^ c == 1:
            return XOR
        return AND if b < 2 or c < 2 or a >> 1 == b >> 1 or a >> 1 == c >> 1 else MUX
    if a < 2 or b < 2 or c < 2:
        return XOR if kind in (SUM, TOTAL) else AND
    return kind


@kernel
def _cost(kind: Any, a: Any, b: Any, c: Any) -> Any:
    """Half gate equivalents, roughly."""
    size = size_of(kind, a, b, c)
    if size == WIRE:
        return 0
    if size == AND:
        return 2
    if size == XOR:
        return 6
    return 5 if size == MUX else 9


@kernel
def expanded(kind: Array, inputs: Array, outputs: Array, owner: Array, order: Array) -> Any:
    """Kind, inputs, owner, outputs of the network with XORs as three ANDs, and gates with constants as what they are.

    Multiplexers and full adders stay: synthesis keeps the former, and the latter's pairs are found once and for all.
    order: the gates that are left, each after those it reads, which a substitution may have made later ones.
    """
    count = len(kind)
    literal = np.zeros(count, np.int32)
    new_kind, new_owner = np.zeros(3 * count, np.uint8), np.zeros(3 * count, np.int32)
    new = np.zeros((3 * count, 3), np.int32)
    end = 0
    while end < count and kind[end] < FIRST_GATE:  # constants and inputs are first, and keep their numbers
        new_kind[end], new_owner[end], literal[end] = kind[end], owner[end], 2 * end
        end += 1
    for node in order:
        this = kind[node]
        a, b, c = inputs[node, 0], inputs[node, 1], inputs[node, 2]
        a, b, c = literal[a >> 1] ^ (a & 1), literal[b >> 1] ^ (b & 1), literal[c >> 1] ^ (c & 1)
        turned = 0
        if this >= SUM and min(a, b, c) < 2:
            a, b, c = min(a, b, c), max(min(a, b), min(max(a, b), c)), max(a, b, c)
            if this in (SUM, TOTAL):
                this, turned, a, b, c = XOR, a, b, c, 0
            else:
                this, turned, a, b, c = AND, a, b ^ a, c ^ a, 0
        elif this == MUX and size_of(this, a, b, c) == XOR:
            this, b, c = XOR, c, 0
        elif this == MUX and size_of(this, a, b, c) == AND:
            if b < 2 or b >> 1 == a >> 1:  # a or c, or not a and c
                turned = b if b < 2 else int(b == a)
                a, b = a ^ 1, c ^ turned
            else:
                turned = c if c < 2 else int(c != a)
                b = b ^ turned
            this, c = AND, 0
        if this == XOR:
            for place in range(end, end + 3):
                new_kind[place], new_owner[place] = AND, owner[node]
            new[end, 0], new[end, 1] = a, b
            new[end + 1, 0], new[end + 1, 1] = a ^ 1, b ^ 1
            new[end + 2, 0], new[end + 2, 1] = 2 * end + 1, 2 * end + 3
            literal[node] = 2 * (end + 2) + turned
            end += 3
        else:
            new_kind[end], new_owner[end] = this, owner[node]
            new[end, 0], new[end, 1], new[end, 2] = a, b, c
            literal[node] = 2 * end + turned
            end += 1
    found = np.empty(len(outputs), np.int32)
    for place in range(len(outputs)):
        found[place] = literal[outputs[place] >> 1] ^ (outputs[place] & 1)
    return new_kind[:end].copy(), new[:end].copy(), new_owner[:end].copy(), found


@kernel
def recognised(kind: Array, inputs: Array, outputs: Array, owner: Array, order: Array, given: Any) -> Any:
    """Kind, size, inputs, owner, outputs of the ordered gates alone, where three ANDs that are an XOR or a multiplexer,
    and that nothing else reads, are one."""
    count = len(kind)
    refs, gone = np.zeros(count, np.int64), np.zeros(count, np.bool_)
    kind, inputs = kind.copy(), inputs.copy()
    for node in order:
        for port in range(3):
            refs[inputs[node, port] >> 1] += 1
    for literal in outputs:
        refs[literal >> 1] += 1
    for node in order:
        p, q = inputs[node, 0] >> 1, inputs[node, 1] >> 1
        if kind[node] != AND or not inputs[node, 0] & inputs[node, 1] & 1:
            continue
        if kind[p] != AND or kind[q] != AND or refs[p] != 1 or refs[q] != 1:
            continue
        for i in range(2):
            for j in range(2):
                if inputs[p, i] == inputs[q, j] ^ 1 and kind[node] == AND:
                    gone[p], gone[q] = True, True
                    yes, no = inputs[p, 1 - i] ^ 1, inputs[q, 1 - j] ^ 1
                    if yes == no ^ 1:
                        kind[node], inputs[node, 0], inputs[node, 1], inputs[node, 2] = XOR, inputs[p, i], no, 0
                    else:
                        kind[node], inputs[node, 0], inputs[node, 1], inputs[node, 2] = MUX, inputs[p, i], yes, no
    place = np.zeros(count, np.int32)
    left, end = np.empty(1 + given + len(order), np.int64), 1 + given
    left[:end] = np.arange(end)
    for node in order:
        if not gone[node]:
            left[end] = node
            end += 1
    left = left[:end]
    place[left] = np.arange(end)
    new, size = np.empty((end, 3), np.int32), kind[left]
    for node in range(end):
        for port in range(3):
            literal = inputs[left[node], port]
            new[node, port] = 2 * place[literal >> 1] + (literal & 1)
        if size[node] >= FIRST_GATE:
            size[node] = size_of(size[node], new[node, 0], new[node, 1], new[node, 2])
    found = np.empty(len(outputs), np.int32)
    for port in range(len(outputs)):
        found[port] = 2 * place[outputs[port] >> 1] + (outputs[port] & 1)
    return kind[left], size, new, owner[left], found


@kernel
def _sort(kind: Array, inputs: Array, outputs: Array, refs: Array) -> Any:
    """Gates that the outputs need, inputs first. refs becomes how many of them, and of the outputs, read each node."""
    count = len(kind)
    refs[:] = 0
    order, state = np.empty(count, np.int64), np.zeros(count, np.int8)  # 1: what it reads is under way; 2: in order
    waiting, found = np.empty(3 * count + 1, np.int64), 0
    for literal in outputs:
        refs[literal >> 1] += 1
        waiting[0], held = literal >> 1, 1
        while held:
            node = waiting[held - 1]
            if kind[node] < FIRST_GATE or state[node] == 2:
                held -= 1
            elif state[node] == 1:
                state[node] = 2
                order[found] = node
                found += 1
                held -= 1
                for port in range(3):
                    refs[inputs[node, port] >> 1] += 1
            else:
                state[node] = 1
                for port in range(3):
                    if state[inputs[node, port] >> 1] == 0:
                        waiting[held] = inputs[node, port] >> 1
                        held += 1
    return order[:found].copy()


@kernel
def _evaluate(kind: Array, inputs: Array, node: Any, value: Array, made: Array) -> None:
    """made [words]: what the gate makes of the values of its inputs."""
    a, b, c = value[inputs[node, 0] >> 1], value[inputs[node, 1] >> 1], value[inputs[node, 2] >> 1]
    _gate(kind[node], inputs[node], a, b, c, made)


@kernel
def _gate(this: Any, literals: Array, a: Array, b: Array, c: Array, made: Array) -> None:
    """made [words]: what a gate makes of a, b and c, inverted as its literals are."""
    ones, none = ~np.uint64(0), np.uint64(0)
    x = ones if literals[0] & 1 else none
    y = ones if literals[1] & 1 else none
    z = ones if literals[2] & 1 else none
    if this == AND:
        for word in range(len(made)):
            made[word] = (a[word] ^ x) & (b[word] ^ y)
    elif this == XOR:
        for word in range(len(made)):
            made[word] = a[word] ^ x ^ b[word] ^ y
    elif this == MUX:
        for word in range(len(made)):
            select = a[word] ^ x
            made[word] = (select & (b[word] ^ y)) | (~select & (c[word] ^ z))
    elif this in (SUM, TOTAL):
        for word in range(len(made)):
            made[word] = a[word] ^ x ^ b[word] ^ y ^ c[word] ^ z
    else:
        for word in range(len(made)):
            first, second = a[word] ^ x, b[word] ^ y
            made[word] = (first & second) | ((c[word] ^ z) & (first | second))


@kernel
def _seen(
    kind: Array, inputs: Array, order: Array, start: Any, ends: Array, steps: Any, value: Array, other: Array,
    above: Array, seen: Array,
) -> None:  # fmt: skip
    """Nodes above the gate at order[start], and on which patterns its inverse is seen at ends or `steps` gates on.

    other [n, words]: room for values with the gate inverted.
    """
    node, none = order[start], np.uint64(0)
    distance = np.full(len(kind), 1 << 30)
    above[:] = False
    above[node] = True
    distance[node] = 0
    seen[:] = ~none if ends[node] else none
    for word in range(len(seen)):
        other[node, word] = ~value[node, word]
    for here in order[start + 1 :]:
        for port in range(3):
            below = inputs[here, port] >> 1
            if above[below]:
                above[here] = True
                distance[here] = min(distance[here], distance[below] + 1)
        if distance[here] > steps:
            continue
        p, q, r = inputs[here, 0] >> 1, inputs[here, 1] >> 1, inputs[here, 2] >> 1
        a = other[p] if distance[p] < steps else value[p]  # at `steps` the difference has been looked for
        b = other[q] if distance[q] < steps else value[q]
        c = other[r] if distance[r] < steps else value[r]
        _gate(kind[here], inputs[here], a, b, c, other[here])
        if distance[here] == steps or ends[here]:
            for word in range(len(seen)):
                seen[word] |= other[here, word] ^ value[here, word]


@kernel
def _freed(kind: Array, inputs: Array, node: Any, refs: Array, one: Any, two: Any) -> Any:
    """The cost of what goes with a gate while nodes one and two stay."""
    refs[one] += 1
    refs[two] += 1
    waiting, end, place, found = np.empty(len(refs), np.int64), 1, 0, 0
    waiting[0] = node
    while place < end:
        here = waiting[place]
        place += 1
        found += _cost(kind[here], inputs[here, 0], inputs[here, 1], inputs[here, 2])
        for port in range(3):
            below = inputs[here, port] >> 1
            refs[below] -= 1
            if refs[below] == 0 and kind[below] >= FIRST_GATE:
                waiting[end] = below
                end += 1
    for here in waiting[:end]:
        for port in range(3):
            refs[inputs[here, port] >> 1] += 1
    refs[one] -= 1
    refs[two] -= 1
    return found


@kernel
def _inside(part: Array, whole: Array, turned: Any) -> Any:
    """Whether the whole, inverted where turned, is 1 wherever the part is."""
    flip = ~np.uint64(0) if turned else np.uint64(0)
    for word in range(len(part)):  # noqa: SIM110  what all() takes is not compiled
        if part[word] & ~(whole[word] ^ flip):
            return False
    return True


@kernel
def _apart(x: Array, turn_x: Any, y: Array, turn_y: Any, off: Array) -> Any:
    """Whether x and y, inverted where turned, are not both 1 wherever `off` is."""
    flip_x = ~np.uint64(0) if turn_x else np.uint64(0)
    flip_y = ~np.uint64(0) if turn_y else np.uint64(0)
    for word in range(len(off)):  # noqa: SIM110
        if off[word] & (x[word] ^ flip_x) & (y[word] ^ flip_y):
            return False
    return True


@kernel
def _first(part: Array) -> Any:
    """A word in which `part` is not 0, if there is one: where most literals are told apart."""
    for word in range(len(part)):
        if part[word]:
            return word
    return 0


@kernel
def _same(
    kind: Array, inputs: Array, node: Any, refs: Array, value: Array, on: Array, off: Array, divisors: Array, most: Any
) -> Any:
    """What reading a literal instead of the node frees, and the literal, 1 on `on` and 0 on `off`; -1 where none is."""
    best, found, early, late = -1, 0, _first(on), _first(off)
    for other in divisors:
        for turned in range(2):
            flip = ~np.uint64(0) if turned else np.uint64(0)
            if on[early] & ~(value[other, early] ^ flip) or off[late] & (value[other, late] ^ flip):
                continue
            if _inside(on, value[other], turned) and _inside(off, value[other], turned ^ 1):
                gain = _freed(kind, inputs, node, refs, other, 0)
                if gain > best:
                    best, found = gain, 2 * other + turned
                    if best >= most:
                        return best, found
    return best, found


@kernel
def _both(
    kind: Array, inputs: Array, node: Any, refs: Array, value: Array, on: Array, off: Array, divisors: Array, most: Any
) -> Any:
    """Two literals whose AND is 1 on `on`, 0 on `off`, and what making the node of them frees; 0 where nothing."""
    holds, many, early = np.empty(2 * len(divisors), np.int64), 0, _first(on)
    for other in divisors:
        for turned in range(2):
            flip = ~np.uint64(0) if turned else np.uint64(0)
            if not on[early] & ~(value[other, early] ^ flip) and _inside(on, value[other], turned):
                holds[many] = 2 * other + turned
                many += 1
    best, p, q = 0, 0, 0
    for i in range(many):
        for j in range(i):
            x, y = holds[i], holds[j]
            if _apart(value[x >> 1], x & 1, value[y >> 1], y & 1, off):
                gain = _freed(kind, inputs, node, refs, x >> 1, y >> 1) - 2
                if gain > best:
                    best, p, q = gain, x, y
                    if best >= most:
                        return best, p, q
    return best, p, q


@kernel
def _replaced(inputs: Array, outputs: Array, node: Any, literal: Any) -> None:
    """Whoever reads the node reads the literal."""
    for other in range(len(inputs)):
        for port in range(3):
            if inputs[other, port] >> 1 == node:
                inputs[other, port] = literal ^ (inputs[other, port] & 1)
    for place in range(len(outputs)):
        if outputs[place] >> 1 == node:
            outputs[place] = literal ^ (outputs[place] & 1)


@kernel
def substituted(kind: Array, inputs: Array, outputs: Array, patterns: Array, steps: Any, rounds: Any) -> Any:
    """The order of the gates that are left. kind, inputs, outputs are rewritten.

    patterns [inputs, words]: of nodes 1 and on.  steps: how far on a difference is looked for; 0: not at all, and no
    gate is made of two others.
    """
    count, words = len(kind), patterns.shape[1]
    value, other = np.zeros((count, words), np.uint64), np.zeros((count, words), np.uint64)
    value[1 : len(patterns) + 1] = patterns
    refs, ends, above = np.zeros(count, np.int64), np.zeros(count, np.bool_), np.zeros(count, np.bool_)
    seen, on, off = np.empty(words, np.uint64), np.empty(words, np.uint64), np.empty(words, np.uint64)
    order = _sort(kind, inputs, outputs, refs)
    for node in order:
        _evaluate(kind, inputs, node, value, value[node])
    for _ in range(rounds):
        before = order.copy()
        improved = False
        for node in before[::-1]:
            if refs[node] == 0:
                continue
            start = 0
            while order[start] != node:
                start += 1
            ends[:] = steps == 0
            for literal in outputs:
                ends[literal >> 1] = True
            _seen(kind, inputs, order, start, ends, steps, value, other, above, seen)
            for word in range(words):
                on[word], off[word] = value[node, word] & seen[word], ~value[node, word] & seen[word]
            divisors, held = np.empty(count, np.int64), 0
            for below in range(count):
                if not above[below] and (kind[below] < FIRST_GATE or refs[below] > 0):
                    divisors[held] = below
                    held += 1
            whole = _freed(kind, inputs, node, refs, 0, 0)
            best, found = _same(kind, inputs, node, refs, value, on, off, divisors[:held], whole)
            if best >= 0:
                _replaced(inputs, outputs, node, found)
                above[node] = False
            elif steps and whole > 2 and held <= MOST_DIVISORS:
                best, p, q = _both(kind, inputs, node, refs, value, on, off, divisors[:held], whole - 2)
                more, r, s = _both(kind, inputs, node, refs, value, off, on, divisors[:held], whole - 2)
                if max(best, more) <= 0:
                    continue
                if more > best:
                    _replaced(inputs, outputs, node, 2 * node + 1)
                    best, p, q = more, r, s
                kind[node], inputs[node, 0], inputs[node, 1], inputs[node, 2] = AND, p, q, 0
            else:
                continue
            improved = improved or best > 0
            order = _sort(kind, inputs, outputs, refs)
            if steps:
                for here in order:
                    if above[here] or here == node:
                        _evaluate(kind, inputs, here, value, value[here])
        if not improved:
            break
    return order
