"""What AMD's cells compute, as plain gates: a netlist of LUTs, carries, flip-flops and DSP slices becomes one that
hwsim.rtl simulates and proves.

    netlist, signals = plain(json.loads(text)["modules"]["mac"], "mac")

A look-up table becomes multiplexers, a carry block a multiplexer and an exclusive or a bit, a shift register flip-flops
and a DSP slice an array of full adders with the registers its parameters say. Sources: UG474 and UG574 (logic blocks),
UG479 and UG579 (DSP48E1, DSP48E2). What synthesis never makes of a PE (asynchronous resets, SIMD lanes, modes that
change) raises ValueError.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from hwsim.rtl.models import YOSYS_CELLS
from hwsim.rtl.netlist import ONE, ZERO, Cell, Netlist
from hwsim.rtl.ripple import ripple

Row = list[int]
Pins = Mapping[str, Row]
Parameters = Mapping[str, str]

# Bits of the multiplier's wide input; what says that it takes the pre-adder's sum.
_SLICES = {"DSP48E1": (25, "USE_DPORT", "TRUE"), "DSP48E2": (27, "AMULTSEL", "AD")}
_WORD = 48
_LANE = 18  # of the multiplier's narrow input
_BYPASSED = ("ALUMODEREG", "CARRYINREG", "CARRYINSELREG", "INMODEREG", "OPMODEREG")
_REGISTERS = ("AREG", "ADREG", "BREG", "CREG", "DREG", "MREG", "PREG", "ACASCREG", "BCASCREG", *_BYPASSED)


def plain(module: Mapping[str, Any], top: str) -> tuple[Netlist, dict[str, Row]]:
    """The netlist in cells of YOSYS_CELLS, registers named by the shortest signal they hold; and the nets of signals.

    module: of yosys' write_json, without bits that are x. What drives no output, no signal and no register that does is
    left out. Raises ValueError for a cell, or a use of one, that has no model here.
    """
    whole = Netlist.from_yosys_json({"modules": {top: module}}, top)
    constants: dict[Any, int] = {"0": ZERO, "1": ONE}
    signals = {
        name: [constants.get(bit, bit) for bit in wire["bits"]]
        for name, wire in module["netnames"].items()
        if not wire["hide_name"] and not {"x", "z"} & set(wire["bits"])
    }
    ports = [net for nets in (*whole.inputs.values(), *whole.outputs.values()) for net in nets]
    gates = _Gates(max([ONE, *ports, *(net for cell in whole.cells for nets in cell.pins.values() for net in nets)]))
    for cell in whole.cells:
        pins = {pin: list(nets) for pin, nets in cell.pins.items()}
        said: dict[str, str] = {name: str(value) for name, value in module["cells"][cell.name]["parameters"].items()}
        if cell.kind in YOSYS_CELLS:
            gates.cells.append(cell)
        elif cell.kind in _MODELS:
            _MODELS[cell.kind](gates, cell.name, pins, said)
        elif cell.kind in _SLICES:
            _dsp(gates, cell.kind, cell.name, pins, said)
        else:
            raise ValueError(f"no model for the cell {cell.kind} ({cell.name!r} of {top!r}) in hwsim.fpga.cells")
    # A signal that synthesis did away with, inside a slice for one, is a name of constants or of nets nothing drives.
    driven = {ZERO, ONE, *(net for nets in whole.inputs.values() for net in nets)}
    driven |= {net for cell in gates.cells for net in _outputs(cell)}
    signals = {name: nets for name, nets in signals.items() if driven.issuperset(nets) and set(nets) - {ZERO, ONE}}
    roots = [net for nets in (*whole.outputs.values(), *signals.values()) for net in nets]
    names = _names(signals)
    cells = tuple(
        Cell(names.get(cell.pins["Q"][0], cell.name) if "Q" in cell.pins else cell.name, cell.kind, cell.pins)
        for cell in _live(gates.cells, roots)
    )
    return Netlist(top, whole.inputs, whole.outputs, cells), signals


class _Gates:
    """Cells in the making; constants are folded and equal gates made once."""

    def __init__(self, top: int) -> None:
        self.top = top
        self.cells: list[Cell] = []
        self._known: dict[tuple[str, int, int, int], int] = {}

    def fresh(self) -> int:
        """A new net."""
        self.top += 1
        return self.top

    def _gate(self, kind: str, a: int, b: int = ZERO, select: int = ZERO) -> int:
        key = (kind, a, b, select)
        if key not in self._known:
            self._known[key] = y = self.fresh()
            given = {"A": a, "B": b, "S": select, "Y": y}
            pins = {"$_NOT_": "AY", "$_MUX_": "ABSY"}.get(kind, "ABY")
            self.cells.append(Cell(f"{kind}{y}", kind, {pin: (given[pin],) for pin in pins}))
        return self._known[key]

    def invert(self, a: int) -> int:
        """not a."""
        return 1 - a if a in (ZERO, ONE) else self._gate("$_NOT_", a)

    def both(self, a: int, b: int) -> int:
        """a and b."""
        a, b = min(a, b), max(a, b)
        if a in (ZERO, b):
            return a
        return b if a == ONE else self._gate("$_AND_", a, b)

    def either(self, a: int, b: int) -> int:
        """a or b."""
        a, b = min(a, b), max(a, b)
        if a in (ONE, b):
            return a
        return b if a == ZERO else self._gate("$_OR_", a, b)

    def differ(self, a: int, b: int) -> int:
        """a exclusive or b."""
        a, b = min(a, b), max(a, b)
        if a == b:
            return ZERO
        if a in (ZERO, ONE):
            return self.invert(b) if a else b
        return self._gate("$_XOR_", a, b)

    def choose(self, select: int, yes: int, no: int) -> int:
        """yes where select, else no."""
        if select in (ZERO, ONE) or yes == no:
            return yes if select == ONE else no
        if yes in (ZERO, ONE):
            return self.either(select, no) if yes else self.both(self.invert(select), no)
        if no in (ZERO, ONE):
            return self.either(self.invert(select), yes) if no else self.both(select, yes)
        return self._gate("$_MUX_", no, yes, select)

    def select(self, code: Row, words: Mapping[int, Row], width: int) -> Row:
        """The word of the code, zeros for a code that has none."""
        rows = [words.get(value, [ZERO] * width) for value in range(1 << len(code))]
        for bit in code:
            rows = [
                [self.choose(bit, yes, no) for yes, no in zip(high, low, strict=True)]
                for low, high in zip(rows[::2], rows[1::2], strict=True)
            ]
        return rows[0]

    def add(self, a: Row, b: Row, carry: int = ZERO) -> Row:
        """The sum modulo the rows' width."""
        return ripple(self, a, b, carry)

    def drive(self, nets: Sequence[int], values: Sequence[int]) -> None:
        """The netlist's own nets get these values."""
        for net, value in zip(nets, values, strict=False):
            self.cells.append(Cell(f"buffer{net}", "$_BUF_", {"A": (value,), "Y": (net,)}))

    def register(self, clock: int, d: int, enable: int, reset: int, value: int, q: int | None = None) -> int:
        """A flip-flop; reset wins over enable."""
        q = self.fresh() if q is None else q
        kind = f"$_SDFFE_PP{value}P_"
        self.cells.append(
            Cell(f"register{q}", kind, {"C": (clock,), "D": (d,), "E": (enable,), "R": (reset,), "Q": (q,)})
        )
        return q


def _table(gates: _Gates, inputs: Row, contents: str) -> int:
    """The bit of the contents, last digit first, that the inputs point at."""
    rows = [ONE if digit == "1" else ZERO for digit in reversed(contents)][: 1 << len(inputs)]
    rows += [ZERO] * ((1 << len(inputs)) - len(rows))
    for select in inputs:
        rows = [gates.choose(select, yes, no) for no, yes in zip(rows[::2], rows[1::2], strict=True)]
    return rows[0]


def _lut(gates: _Gates, name: str, pins: Pins, said: Parameters) -> None:
    inputs = [pins[f"I{place}"][0] for place in range(len(pins) - 1)]
    gates.drive(pins["O"], [_table(gates, inputs, said["INIT"])])


def _coarse_lut(gates: _Gates, name: str, pins: Pins, said: Parameters) -> None:
    gates.drive(pins["Y"], [_table(gates, pins["A"], said["LUT"])])


def _inverter(gates: _Gates, name: str, pins: Pins, said: Parameters) -> None:
    gates.drive(pins["O"], [gates.invert(pins["I"][0])])


def _multiplexer(gates: _Gates, name: str, pins: Pins, said: Parameters) -> None:
    gates.drive(pins["O"], [gates.choose(pins["S"][0], pins["I1"][0], pins["I0"][0])])


def _carry(gates: _Gates, name: str, pins: Pins, said: Parameters) -> None:
    """CARRY4 and CARRY8: where S, the carry passes, else it is DI; O is the sum."""
    if said.get("CARRY_TYPE", "SINGLE_CY8") != "SINGLE_CY8":
        raise ValueError(f"no model for {name!r}: CARRY8 as {said['CARRY_TYPE']}, two chains of four")
    carry = gates.either(pins.get("CI", [ZERO])[0], pins.get("CYINIT", [ZERO])[0])
    sums, carries = [], []
    for select, data in zip(pins["S"], pins["DI"], strict=True):
        sums.append(gates.differ(select, carry))
        carry = gates.choose(select, carry, data)
        carries.append(carry)
    gates.drive(pins.get("O", []), sums)
    gates.drive(pins.get("CO", []), carries)


def _flip_flop(value: int, reset: str) -> Callable[[_Gates, str, Pins, Parameters], None]:
    def made(gates: _Gates, name: str, pins: Pins, said: Parameters) -> None:
        turned = [key for key, digit in said.items() if key.endswith("_INVERTED") and "1" in digit]
        if turned:
            raise ValueError(f"no model for the flip-flop {name!r} with {', '.join(turned)}")
        gates.register(pins["C"][0], pins["D"][0], pins["CE"][0], pins[reset][0], value, pins["Q"][0])

    return made


def _shift_register(gates: _Gates, name: str, pins: Pins, said: Parameters) -> None:
    """SRL16E and SRLC32E at an address that is a constant: as many flip-flops as that and one more."""
    address = pins["A"] if "A" in pins else [pins[f"A{place}"][0] for place in range(4)]
    if not set(address) <= {ZERO, ONE}:
        raise ValueError(f"no model for the shift register {name!r} at an address that is no constant")
    held = pins["D"][0]
    for _ in range(1 + sum(bit << place for place, bit in enumerate(address))):
        held = gates.register(pins["CLK"][0], held, pins["CE"][0], ZERO, 0)
    gates.drive(pins["Q"], [held])


_MODELS: dict[str, Callable[[_Gates, str, Pins, Parameters], None]] = {
    **{f"LUT{inputs}": _lut for inputs in range(1, 7)},
    "$lut": _coarse_lut,
    "INV": _inverter,
    "CARRY4": _carry,
    "CARRY8": _carry,
    **{f"MUXF{inputs}": _multiplexer for inputs in (7, 8, 9)},
    "FDRE": _flip_flop(0, "R"),
    "FDSE": _flip_flop(1, "S"),
    "SRL16E": _shift_register,
    "SRLC32E": _shift_register,
}


def _dsp(gates: _Gates, kind: str, name: str, pins: Pins, said: Parameters) -> None:
    """P = Z + X + Y + carry in or Z less the three, and the registers on the way; X, Y and Z as OPMODE says."""
    wide, port, joined = _SLICES[kind]
    said = {**dict.fromkeys(_REGISTERS, "1"), **said}  # as the vendor has them where an instance says nothing
    _check_slice(kind, name, pins, said)
    part = _Slice(gates, name, pins, said)
    a = part.held("A", _word(pins, "ACIN" if said.get("A_INPUT") == "CASCADE" else "A", 30), 30)
    b = part.held("B", _word(pins, "BCIN" if said.get("B_INPUT") == "CASCADE" else "B", _LANE), _LANE)
    c = part.held("C", _word(pins, "C", _WORD), _WORD)
    factor = a[:wide]
    if said.get(port) == joined:
        d = part.held("D", _word(pins, "D", wide), wide) if _word(pins, "INMODE", 5)[2] else [ZERO] * wide
        factor = part.held("AD", gates.add(factor, d), wide)
    product = part.held("M", _product(gates, factor, b), wide + _LANE)
    p = list(pins.get("P", []))
    p += [gates.fresh() for _ in range(_WORD - len(p))]
    # Without its register P at X or Z would be a loop; yosys makes none.
    back = p if int(said["PREG"], 2) else [ZERO] * _WORD
    pcin = _word(pins, "PCIN", _WORD)
    opmode = _word(pins, "OPMODE", 7)
    x = gates.select(opmode[:2], {1: _extended(product), 2: back, 3: b + a}, _WORD)
    y = gates.select(opmode[2:4], {2: [ONE] * _WORD, 3: c}, _WORD)
    z_words = {1: pcin, 2: back, 3: c, 5: _extended(pcin[17:]), 6: _extended(back[17:])}
    z = gates.select(opmode[4:7], z_words, _WORD)
    less = _word(pins, "ALUMODE", 4)[0]
    # Z - S is not(not Z + S).
    total = gates.add(gates.add(x, y), [gates.differ(bit, less) for bit in z], _word(pins, "CARRYIN", 1)[0])
    part.result("P", [gates.differ(bit, less) for bit in total], p)
    for pin, value in (("PCOUT", p), ("ACOUT", a), ("BCOUT", b)):
        gates.drive(pins.get(pin, []), value)


def _check_slice(kind: str, name: str, pins: Pins, said: Parameters) -> None:
    wanted = {"USE_SIMD": "ONE48", "BMULTSEL": "B"}
    odd = [f"{key}={said[key]}" for key, value in wanted.items() if said.get(key, value) != value]
    odd += [f"{key}={int(said[key], 2)}" for key in _BYPASSED if int(said[key], 2)]
    odd += [f"{side}CASCREG" for side in "AB" if int(said[f"{side}CASCREG"], 2) != int(said[f"{side}REG"], 2)]
    odd += [key for key, digits in said.items() if key.endswith("_INVERTED") and "1" in digits]
    odd += ["INMODE"] * (tuple(_word(pins, "INMODE", 5)) not in ((0, 0, 0, 0, 0), (0, 0, 1, 0, 0)))
    odd += ["CARRYINSEL"] * any(_word(pins, "CARRYINSEL", 3))
    odd += ["ALUMODE"] * (tuple(_word(pins, "ALUMODE", 4)) not in ((0, 0, 0, 0), (1, 1, 0, 0)))
    odd += ["W of OPMODE"] * any(pins.get("OPMODE", [])[7:])
    if odd:
        raise ValueError(f"no model for the {kind} {name!r} with {', '.join(odd)}")


class _Slice:
    """The registers of a slice."""

    def __init__(self, gates: _Gates, name: str, pins: Pins, said: Parameters) -> None:
        self.gates, self.name, self.pins, self.said = gates, name, pins, said

    def _pin(self, names: Iterable[str]) -> int:
        found = [self.pins[name][0] for name in names if name in self.pins]
        if not found:
            raise ValueError(f"slice {self.name!r} has a register without {' or '.join(names)}")
        return found[0]

    def held(self, letter: str, word: Row, width: int) -> Row:
        """The word behind as many registers as the parameters say."""
        ranks = int(self.said[f"{letter}REG"], 2)
        word = word[:width]
        for rank in range(ranks):
            # A single rank of A or B is the second one, A2.
            enables = [f"CE{letter}{2 if ranks == 1 or rank else 1}", f"CE{letter}"]
            word = [
                self.gates.register(self._pin(["CLK"]), bit, self._pin(enables), self._reset(letter), 0) for bit in word
            ]
        return word

    def result(self, letter: str, word: Row, nets: Row) -> None:
        """The word on P's nets, through its register where there is one."""
        if not int(self.said["PREG"], 2):
            self.gates.drive(nets, word)
            return
        for bit, net in zip(word, nets, strict=True):
            self.gates.register(self._pin(["CLK"]), bit, self._pin(["CEP"]), self._reset(letter), 0, net)

    def _reset(self, letter: str) -> int:
        return self.pins.get("RSTD" if letter == "AD" else f"RST{letter}", [ZERO])[0]


def _product(gates: _Gates, a: Row, b: Row) -> Row:
    """The signed product: rows of a where b's bits are 1, the top bit's row subtracted."""
    width = len(a) + len(b)
    a = a + [a[-1]] * (width - len(a))
    total = [ZERO] * width
    for place, bit in enumerate(b):
        row = [ZERO] * place + [gates.both(bit, digit) for digit in a[: width - place]]
        if place == len(b) - 1:
            row = [gates.invert(digit) for digit in row]
        total = gates.add(total, row, ONE if place == len(b) - 1 else ZERO)
    return total


def _extended(word: Row) -> Row:
    return word + [word[-1]] * (_WORD - len(word))


def _word(pins: Pins, pin: str, width: int) -> Row:
    """The nets at a pin, constants 0 where it has none."""
    found = list(pins.get(pin, []))[:width]
    return found + [ZERO] * (width - len(found))


def _names(signals: Mapping[str, Row]) -> dict[int, str]:
    """Net -> the shortest name of a signal's bit on it."""
    names: dict[int, str] = {}
    for name, nets in signals.items():
        for place, net in enumerate(nets):
            text = f"{name}[{place}]" if len(nets) > 1 else name
            if net not in names or (len(text), text) < (len(names[net]), names[net]):
                names[net] = text
    return names


_OUTPUT = re.compile("[QY]")


def _live(cells: Sequence[Cell], roots: Iterable[int]) -> list[Cell]:
    """The cells that the roots need, in their order."""
    driver = {nets[0]: cell for cell in cells for pin, nets in cell.pins.items() if _OUTPUT.fullmatch(pin)}
    seen: set[int] = set()
    stack = list(roots)
    while stack:
        net = stack.pop()
        if net not in seen:
            seen.add(net)
            if net in driver:
                stack += [nets[0] for pin, nets in driver[net].pins.items() if not _OUTPUT.fullmatch(pin)]
    return [cell for cell in cells if any(driver.get(net) is cell and net in seen for net in _outputs(cell))]


def _outputs(cell: Cell) -> list[int]:
    return [nets[0] for pin, nets in cell.pins.items() if _OUTPUT.fullmatch(pin)]
