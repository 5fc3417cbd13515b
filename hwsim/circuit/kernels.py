"""Compiled loops over a network's nodes: what is needed, the longest path, toggles with and without glitches."""

from __future__ import annotations

from typing import Any

import numpy as np

from formats.kernels.jit import kernel

Array = Any
# Kinds as network.py numbers them: FIRST_GATE + the place in gates.KINDS.
FIRST_GATE = 2
AND, XOR, MUX, SUM, CARRY, TOTAL, OVER = range(2, 9)
# Columns of a path's terms.
P_AND, P_XOR, P_MUX, P_SUM, P_CARRY_IN, P_CARRY_ON, P_TREE, P_FANOUT = range(8)
PATH_COLUMNS = 8


@kernel
def mark(kind: Array, inputs: Array, outputs: Array, driven: Array) -> Array:
    """Nodes that outputs and registers are made of. [n]"""
    seen = np.zeros(len(kind), np.bool_)
    for literal in outputs:
        seen[literal >> 1] = True
    for literal in driven:
        seen[literal >> 1] = True
    for node in range(len(kind) - 1, 0, -1):
        if seen[node] and kind[node] >= FIRST_GATE:
            for port in range(3):
                seen[inputs[node, port] >> 1] = True
    return seen


@kernel
def words_in_runs(raw: Array, sources: int, below: Array, even: int) -> Array:
    """Patterns of inputs in runs of one kind, of random words. [sources, words]

    raw [5 * sources + 1, words]: three words of each input, whether a run begins there, then the kinds of runs.
    below: the shares of kinds, added up.  even: so many words at the start are of the first kind.
    """
    words = raw.shape[1]
    found = np.empty((sources, words), np.uint64)
    run, kind, scale = np.zeros(words, np.int64), np.zeros(words, np.int64), 2.0**-53
    for bit in range(sources):
        for word in range(words):
            if bit == 0 or (raw[3 * sources + bit, word] >> np.uint64(11)) * scale < 1 / 6:
                run[word] += 1
                drawn, this = (raw[4 * sources + run[word], word] >> np.uint64(11)) * scale, 0
                while below[this] <= drawn:
                    this += 1
                kind[word] = 0 if word < even else this
            first = raw[bit, word]
            sparse = first & raw[sources + bit, word] & raw[2 * sources + bit, word]
            this, made = kind[word], first
            if this == 1:
                made = sparse
            elif this == 2:
                made = ~sparse
            elif this == 3:
                made = np.uint64(0)
            elif this == 4:
                made = ~np.uint64(0)
            found[bit, word] = made
    return found


BLOCK = 56  # words that are worked on at a time: what a network's nodes are on them stays in the cache


@kernel
def _evaluate(kind: Array, inputs: Array, value: Array) -> None:
    """Gates' rows of `value` [n, BLOCK] from those of inputs. Kinds are told apart outside the loops over words."""
    ones, none = ~np.uint64(0), np.uint64(0)
    for node in range(len(kind)):
        this = kind[node]
        if this < FIRST_GATE:
            continue
        x = ones if inputs[node, 0] & 1 else none
        y = ones if inputs[node, 1] & 1 else none
        z = ones if inputs[node, 2] & 1 else none
        a, b, c = value[inputs[node, 0] >> 1], value[inputs[node, 1] >> 1], value[inputs[node, 2] >> 1]
        made = value[node]
        if this == AND:
            for word in range(BLOCK):
                made[word] = (a[word] ^ x) & (b[word] ^ y)
        elif this == XOR:
            for word in range(BLOCK):
                made[word] = a[word] ^ x ^ b[word] ^ y
        elif this == MUX:
            for word in range(BLOCK):
                select = a[word] ^ x
                made[word] = (select & (b[word] ^ y)) | (~select & (c[word] ^ z))
        elif this in (SUM, TOTAL):
            for word in range(BLOCK):
                made[word] = a[word] ^ x ^ b[word] ^ y ^ c[word] ^ z
        else:
            for word in range(BLOCK):
                first, second = a[word] ^ x, b[word] ^ y
                made[word] = (first & second) | ((c[word] ^ z) & (first | second))


@kernel
def _mixed(value: Array, turned: Array, begin: int, mixed: Array) -> None:
    """Hashes of nodes' words, those from number `begin` on, added to `mixed` [n].

    Halves of each word, each with its key, multiplied and added: no chain from word to word.
    """
    half, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    keys = np.empty((2, BLOCK), np.uint64)
    for word in range(BLOCK):
        key = np.uint64(begin + word + 1) * np.uint64(0x9E3779B97F4A7C15)
        key ^= (key >> np.uint64(31)) * np.uint64(0xBF58476D1CE4E5B9)
        keys[0, word], keys[1, word] = key, key >> shift
    low, high = keys[0], keys[1]
    for node in range(len(value)):
        row, turn, found = value[node], turned[node], np.uint64(0)
        for word in range(BLOCK):
            seen = row[word] ^ turn
            found += ((seen + low[word]) & half) * (((seen >> shift) + high[word]) & half)
        mixed[node] += found


@kernel
def signatures(kind: Array, inputs: Array, given: int, states: Array, driven: Array, drawn: Array, few: Array) -> Any:
    """A hash of what each node is on patterns, and ones where the node is turned for it to start with a 0. [n] each

    drawn [given + states, words]: patterns of inputs and registers, words a multiple of BLOCK. Where there are
    registers, a second set: what they hold after a cycle on these, and the inputs turned where few [given, words] is 1.
    """
    count, words, ones = len(kind), drawn.shape[1], ~np.uint64(0)
    value, held = np.empty((count, BLOCK), np.uint64), np.empty((len(states), BLOCK), np.uint64)
    turned, mixed = np.empty(count, np.uint64), np.zeros(count, np.uint64)
    for word in range(BLOCK):
        value[0, word] = np.uint64(0)
    for begin in range(0, words, BLOCK):
        for bit in range(given):
            for word in range(BLOCK):
                value[bit + 1, word] = drawn[bit, begin + word]
        for bit in range(len(states)):
            for word in range(BLOCK):
                value[states[bit], word] = drawn[given + bit, begin + word]
        _evaluate(kind, inputs, value)
        if begin == 0:
            for node in range(count):
                turned[node] = ones if value[node, 0] & np.uint64(1) else np.uint64(0)
        _mixed(value, turned, begin, mixed)
        if len(states) == 0:
            continue
        for bit in range(len(states)):
            turn = ones if driven[bit] & 1 else np.uint64(0)
            for word in range(BLOCK):
                held[bit, word] = value[driven[bit] >> 1, word] ^ turn
        for bit in range(len(states)):
            for word in range(BLOCK):
                value[states[bit], word] = held[bit, word]
        for bit in range(given):
            for word in range(BLOCK):
                value[bit + 1, word] ^= few[bit, begin + word]
        _evaluate(kind, inputs, value)
        _mixed(value, turned, words + begin, mixed)
    return mixed, turned


@kernel
def first_alike(kind: Array, mixed: Array, turned: Array) -> Array:
    """The literal of the first node that each node is, or is the inverse of, by their hashes; inputs are themselves."""
    bits = 6
    while 1 << bits < 2 * len(kind):
        bits += 1
    slots, found = np.zeros(1 << bits, np.int32), np.empty(len(kind), np.int32)  # a slot holds a node, plus one
    mask = (1 << bits) - 1
    for node in range(len(kind)):
        place = np.int64(mixed[node] >> np.uint64(20)) & mask
        while slots[place] and mixed[slots[place] - 1] != mixed[node]:
            place = (place + 1) & mask
        if slots[place] == 0:
            slots[place] = node + 1
        one = slots[place] - 1
        found[node] = 2 * (node if kind[node] < FIRST_GATE else one)
        if kind[node] >= FIRST_GATE and turned[node] != turned[one]:
            found[node] += 1
    return found


@kernel
def redirected(kind: Array, inputs: Array, literal: Array) -> Any:
    """What each node counts as, and its inputs, after each node's literal is put in its place.

    A gate with a constant, or with one input twice, counts as the smaller gate that it is.
    """
    new_kind, new_inputs = np.empty(len(kind), np.uint8), np.zeros((len(kind), 3), np.int32)
    for node in range(len(kind)):
        this = kind[node]
        new_kind[node] = this
        if this < FIRST_GATE:
            continue
        for port in range(3):
            new_inputs[node, port] = literal[inputs[node, port] >> 1] ^ (inputs[node, port] & 1)
        a, b, c = new_inputs[node, 0], new_inputs[node, 1], new_inputs[node, 2]
        if this == MUX:
            if (b ^ c) == 1:
                new_kind[node] = XOR
            elif b < 2 or c < 2 or a >> 1 == b >> 1 or a >> 1 == c >> 1:
                new_kind[node] = AND
        elif this >= SUM and (a < 2 or b < 2 or c < 2):
            new_kind[node] = XOR if this in (SUM, TOTAL) else AND
    return new_kind, new_inputs


@kernel
def merged(
    kind: Array, inputs: Array, given: int, states: Array, driven: Array, outputs: Array, drawn: Array, few: Array
) -> Any:
    """Sizes, inputs, outputs and driven literals of a network in which nodes that are alike on the patterns are one."""
    mixed, turned = signatures(kind, inputs, given, states, driven, drawn, few)
    literal = first_alike(kind, mixed, turned)
    size, new_inputs = redirected(kind, inputs, literal)
    new_outputs, new_driven = np.empty(len(outputs), np.int32), np.empty(len(driven), np.int32)
    for bit in range(len(outputs)):
        new_outputs[bit] = literal[outputs[bit] >> 1] ^ (outputs[bit] & 1)
    for bit in range(len(driven)):
        new_driven[bit] = literal[driven[bit] >> 1] ^ (driven[bit] & 1)
    return size, new_inputs, new_outputs, new_driven


@kernel
def loads(kind: Array, inputs: Array, seen: Array, driven: Array) -> Array:
    """Gates and registers that read each node, of those that are needed. [n]"""
    found = np.zeros(len(kind), np.int64)
    for node in range(len(kind)):
        if kind[node] >= FIRST_GATE and seen[node]:
            for port in range(3):
                found[inputs[node, port] >> 1] += 1
    for literal in driven:
        found[literal >> 1] += 1
    return found


@kernel
def critical(kind: Array, inputs: Array, seen: Array, fanout: Array, weights: Array, ends: Array) -> Array:
    """Terms of the slowest path, from an input or a register to a literal of `ends`: how often each weight counts.

    A carry waits for its own two bits (P_CARRY_IN) or for the carry below (P_CARRY_ON): chains grow linearly with their
    width, as synthesis leaves them. P_FANOUT counts log2 of the loads of every gate on the path.
    """
    count = len(kind)
    arrival = np.zeros(count)
    before = np.zeros(count, np.int64)  # the node it waits for
    by = np.zeros(count, np.int64)  # the column it costs
    for node in range(count):
        this = kind[node]
        if this < FIRST_GATE or not seen[node]:
            continue
        chain = -1
        if this == CARRY:
            for port in range(3):
                source = inputs[node, port] >> 1
                if kind[source] == CARRY and source > chain:
                    chain = source
        column = P_TREE
        if this == AND:
            column = P_AND
        elif this == XOR:
            column = P_XOR
        elif this == MUX:
            column = P_MUX
        elif this == SUM:
            column = P_SUM
        elif this == CARRY:
            column = P_CARRY_IN
        latest, found = 0.0, 0
        for port in range(3):
            source = inputs[node, port] >> 1
            if source != chain and arrival[source] > latest:
                latest, found = arrival[source], source
        latest += weights[column]
        if chain >= 0 and arrival[chain] + weights[P_CARRY_ON] > latest:
            latest, found, column = arrival[chain] + weights[P_CARRY_ON], chain, P_CARRY_ON
        arrival[node] = latest + weights[P_FANOUT] * np.log2(max(fanout[node], 1))
        before[node] = found
        by[node] = column
    last, worst = 0, 0.0
    for literal in ends:
        if arrival[literal >> 1] > worst:
            last, worst = literal >> 1, arrival[literal >> 1]
    terms = np.zeros(PATH_COLUMNS)
    while last > 0 and kind[last] >= FIRST_GATE:
        terms[by[last]] += 1
        terms[P_FANOUT] += np.log2(max(fanout[last], 1))
        last = before[last]
    return terms


@kernel
def _ones(word: Any) -> Any:
    """How many bits of a word are 1."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (word * np.uint64(0x0101010101010101)) >> np.uint64(56)


@kernel
def _gate(this: Any, a: Any, b: Any, c: Any) -> Any:
    """What a gate makes of 64 streams at once."""
    if this == AND:
        return a & b
    if this == XOR:
        return a ^ b
    if this == MUX:
        return (a & b) | (~a & c)
    if this in (SUM, TOTAL):
        return a ^ b ^ c
    return (a & b) | (c & (a | b))


@kernel
def _depths(kind: Array, inputs: Array, seen: Array) -> Array:
    """The least and the most gates from an input or a register to each node. [n, 2]"""
    found = np.zeros((len(kind), 2), np.int64)
    for node in range(len(kind)):
        if kind[node] >= FIRST_GATE and seen[node]:
            least, most = 1 << 30, 0
            for port in range(3):
                source = inputs[node, port] >> 1
                if source:
                    least, most = min(least, found[source, 0]), max(most, found[source, 1])
            found[node, 0], found[node, 1] = least + 1, most + 1
    return found


@kernel
def toggles(
    kind: Array,
    inputs: Array,
    seen: Array,
    states: Array,
    driven: Array,
    given: int,
    stream: Array,
    warm: int,
    cut: int,
) -> Any:
    """Toggles of every node over the counted cycles, [n] settled ones and [n] with unit-delay glitches.

    stream [cycles, given]: a word of 64 streams for each input bit; registers start at 0. The first `warm` cycles are
    not counted, glitches only in the `cut` cycles after them.
    """
    count, cycles = len(kind), len(stream)
    ones = ~np.uint64(0)
    source = inputs >> 1
    turned = np.zeros((count, 3), np.uint64)
    for node in range(count):
        for port in range(3):
            if inputs[node, port] & 1:
                turned[node, port] = ones
    depths = _depths(kind, inputs, seen)
    deepest = 0
    for node in range(count):
        deepest = max(deepest, depths[node, 1])
    value, held = np.zeros(count, np.uint64), np.zeros(len(states), np.uint64)
    before, wave, after = np.zeros(count, np.uint64), np.zeros(count, np.uint64), np.zeros(count, np.uint64)
    settled, glitching = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for cycle in range(cycles):
        before[:] = value
        for bit in range(given):
            value[1 + bit] = stream[cycle, bit]
        for bit in range(len(states)):
            value[states[bit]] = held[bit]
        if warm <= cycle < warm + cut:
            for node in range(count):
                wave[node] = value[node] if kind[node] < FIRST_GATE else before[node]
                after[node] = wave[node]
            for moment in range(1, deepest + 1):
                for node in range(count):
                    if depths[node, 0] <= moment <= depths[node, 1]:
                        after[node] = _gate(
                            kind[node],
                            wave[source[node, 0]] ^ turned[node, 0],
                            wave[source[node, 1]] ^ turned[node, 1],
                            wave[source[node, 2]] ^ turned[node, 2],
                        )
                for node in range(count):
                    if after[node] != wave[node]:
                        glitching[node] += _ones(after[node] ^ wave[node])
                        wave[node] = after[node]
        for node in range(count):
            if kind[node] >= FIRST_GATE and seen[node]:
                value[node] = _gate(
                    kind[node],
                    value[source[node, 0]] ^ turned[node, 0],
                    value[source[node, 1]] ^ turned[node, 1],
                    value[source[node, 2]] ^ turned[node, 2],
                )
        if cycle >= warm:
            for node in range(count):
                settled[node] += _ones(before[node] ^ value[node])
        for bit in range(len(states)):
            literal = driven[bit]
            held[bit] = value[literal >> 1] ^ (ones if literal & 1 else np.uint64(0))
    return settled, glitching
