"""A library of a few cells whose tables are planes, so that every delay and energy has a closed form.

Units on purpose not ours: ns, pF, V, uW. In ours (ps, fF, fJ), with x = input slew and c = load:
    INV   rise 10 + 2 c + 0.1 x, fall 8 + c + 0.2 x;  slew rise 5 + 3 c, fall 4 + 2 c;  pin 1.0 (fall) / 1.2 (rise) fF
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hwsim.liberty.cells import Library, parse_library
from hwsim.rtl.netlist import ONE, Cell, Netlist

VOLT = 0.8
SLEWS = (10.0, 20.0, 50.0)
LOADS = (1.0, 2.0, 5.0)
Plane = Callable[[float, float], float]


def table(kind: str, plane: Plane, unit: float, template: str = "grid") -> str:
    """A 3 x 3 table of a plane in ps and fF; unit: ours in the file's unit."""
    rows = ", ".join('"' + ", ".join(repr(plane(x, c) * unit) for c in LOADS) + '"' for x in SLEWS)
    return f"{kind} ({template}) {{ values ({rows}); }}"


def row(kind: str, line: Callable[[float], float], unit: float) -> str:
    """A table of the input slew alone."""
    return f'{kind} (passive) {{ values ("' + ", ".join(repr(line(x) * unit) for x in SLEWS) + '"); }'


def timing(related: str, sense: str, kind: str = "combinational", extra: str = "", slower: float = 0.0) -> str:
    sense = f"timing_sense : {sense};" if sense else ""
    return (
        f'timing () {{ related_pin : "{related}"; {sense} timing_type : {kind}; {extra}'
        + table("cell_rise", lambda x, c: 10 + slower + 2 * c + 0.1 * x, 1e-3)
        + table("cell_fall", lambda x, c: 8 + slower + c + 0.2 * x, 1e-3)
        + table("rise_transition", lambda x, c: 5 + 3 * c, 1e-3)
        + table("fall_transition", lambda x, c: 4 + 2 * c, 1e-3)
        + "}"
    )


def power(rise: float, fall: float, related: str = "", when: str = "") -> str:
    """Constant energies in fJ."""
    head = (f'related_pin : "{related}"; ' if related else "") + (f'when : "{when}"; ' if when else "")
    if related:
        rises = table("rise_power", lambda x, c: rise, 1e-3, "power_grid")
        body = rises + table("fall_power", lambda x, c: fall, 1e-3, "power_grid")
    else:
        body = row("rise_power", lambda x: rise, 1e-3) + row("fall_power", lambda x: fall, 1e-3)
    return f"internal_power () {{ {head}{body} }}"


def pin_in(name: str, fall: float = 1.0, rise: float = 1.2, extra: str = "") -> str:
    return (
        f"pin ({name}) {{ direction : input; capacitance : {(fall + rise) / 2e3!r};"
        f" fall_capacitance : {fall / 1e3!r}; rise_capacitance : {rise / 1e3!r}; {extra} }}"
    )


def pin_out(name: str, function: str, body: str) -> str:
    return f'pin ({name}) {{ direction : output; function : "{function}"; max_capacitance : 0.01; {body} }}'


def cell(name: str, area: float, body: str, leakage: str = "") -> str:
    return f"cell ({name}) {{ area : {area}; cell_leakage_power : 0.004; {leakage} {body} }}"


def setup(limit: float) -> str:
    values = ", ".join('"' + ", ".join(repr(limit * 1e-3) for _ in SLEWS) + '"' for _ in SLEWS)
    both = "".join(f"{edge}_constraint (limits) {{ values ({values}); }}" for edge in ("rise", "fall"))
    return f'timing () {{ related_pin : "CK"; timing_type : setup_rising; {both} }}'


HEAD = """library (tiny) {
  delay_model : table_lookup; time_unit : "1ns"; voltage_unit : "1V"; leakage_power_unit : "1uW";
  capacitive_load_unit (1, pf); nom_voltage : 0.9; nom_temperature : 25; nom_process : 1;
  input_threshold_pct_rise : 50; input_threshold_pct_fall : 50;
  output_threshold_pct_rise : 50; output_threshold_pct_fall : 50;
  slew_lower_threshold_pct_rise : 20; slew_lower_threshold_pct_fall : 20;
  slew_upper_threshold_pct_rise : 80; slew_upper_threshold_pct_fall : 80;
  operating_conditions (typical) { process : 1; temperature : 25; voltage : 0.8; }
  default_operating_conditions : typical;
  lu_table_template (grid) { variable_1 : input_net_transition; variable_2 : total_output_net_capacitance;
    index_1 ("0.01, 0.02, 0.05"); index_2 ("0.001, 0.002, 0.005"); }
  lu_table_template (limits) { variable_1 : related_pin_transition; variable_2 : constrained_pin_transition;
    index_1 ("0.01, 0.02, 0.05"); index_2 ("0.01, 0.02, 0.05"); }
  power_lut_template (power_grid) { variable_1 : input_transition_time; variable_2 : total_output_net_capacitance;
    index_1 ("0.01, 0.02, 0.05"); index_2 ("0.001, 0.002, 0.005"); }
  power_lut_template (passive) { variable_1 : input_transition_time; index_1 ("0.01, 0.02, 0.05"); }
"""

NAND_LEAKAGE = " ".join(
    f'leakage_power () {{ when : "{when}"; value : {value}; }}'
    for when, value in (("!A&!B", 0.001), ("!A&B", 0.002), ("A&!B", 0.003), ("A&B", 0.009))
)
INV = cell("INV", 1.0, pin_in("A") + pin_out("Y", "!A", timing("A", "negative_unate") + power(0.3, 0.1, "A")))
BUF = cell("BUF", 1.5, pin_in("A") + pin_out("Y", "A", timing("A", "positive_unate") + power(0.5, 0.4, "A")))
NAND = cell(
    "NAND",
    2.0,
    pin_in("A", extra=power(0.02, 0.03))
    + pin_in("B")
    + pin_out(
        "Y",
        "(A B)'",
        timing("A", "negative_unate")
        + timing("B", "negative_unate", slower=3.0)
        + power(0.6, 0.2, "A")
        + power(0.7, 0.25, "B"),
    ),
    NAND_LEAKAGE,
)
BIG_NAND = NAND.replace("cell (NAND)", "cell (NAND_X2)").replace("area : 2.0", "area : 3.0")
XOR = cell(
    "XOR",
    4.0,
    pin_in("A")
    + pin_in("B")
    + pin_out(
        "Y",
        "A^B",
        timing("A", "positive_unate", extra='when : "!B"; ')
        + timing("A", "negative_unate", extra='when : "B"; ', slower=5.0)
        + timing("B", "", slower=1.0)
        + power(1.0, 2.0, "A", "!B")
        + power(3.0, 4.0, "A", "B")
        + power(5.0, 6.0, "B"),
    ),
)
DFF_CLOCK = power(0.0, 1.0, when="D & !Q") + power(0.0, 1.1, when="!D & Q") + power(0.8, 0.9)
DFF = cell(
    "DFF",
    8.0,
    'ff (IQ, IQN) { clocked_on : "CK"; next_state : "D"; clear : "!R"; }'
    + pin_in("CK", 0.7, 0.7, "clock : true; " + DFF_CLOCK)
    + pin_in("D", 0.5, 0.5, setup(20.0) + power(0.05, 0.06, when="CK") + power(0.15, 0.16, when="!CK"))
    + pin_in("R", 0.9, 0.9)
    + pin_out("Q", "IQ", timing("CK", "non_unate", "rising_edge", slower=30.0) + power(2.0, 1.5, "CK")),
)
LATCH = cell("LATCH", 5.0, 'latch (IQ, IQN) { enable : "G"; data_in : "D"; }' + pin_in("G") + pin_in("D"))
TIE = cell("TIE1", 0.5, pin_out("Y", "1", ""))
TEXT = HEAD + "\n".join((INV, BUF, NAND, BIG_NAND, XOR, DFF, LATCH, TIE)) + "\n}\n"


def library(text: str = TEXT) -> Library:
    return parse_library(text, "tiny.lib")


def netlist(
    cells: Iterable[tuple[str, str, dict[str, int]]],
    inputs: dict[str, tuple[int, ...]],
    outputs: dict[str, tuple[int, ...]],
) -> Netlist:
    """A netlist of (name, kind, pin -> net)."""
    made = tuple(Cell(name, kind, {pin: (net,) for pin, net in pins.items()}) for name, kind, pins in cells)
    return Netlist("top", inputs, outputs, made)


def chain(kind: str, length: int) -> Netlist:
    """length one-input gates in a row: net 2 in, net 2 + length out."""
    cells = [(f"g{i}", kind, {"A": 2 + i, "Y": 3 + i}) for i in range(length)]
    return netlist(cells, {"a": (2,)}, {"y": (2 + length,)})


XOR_PLAIN = XOR.replace(power(1.0, 2.0, "A", "!B") + power(3.0, 4.0, "A", "B"), power(1.0, 2.0, "A"))
# The library without any condition: what tools that read conditions differently must agree on.
PLAIN_TEXT = (
    TEXT.replace(DFF_CLOCK, power(0.8, 0.9))
    .replace(power(0.05, 0.06, when="CK") + power(0.15, 0.16, when="!CK"), power(0.05, 0.06))
    .replace(XOR, XOR_PLAIN)
)


def accumulator(bits: int) -> Netlist:
    """acc += a: a ripple-carry adder of XORs and NANDs before a register. Ports ck, a, acc."""
    ck, a, acc = 2, tuple(range(3, 3 + bits)), tuple(range(20, 20 + bits))
    cells: list[tuple[str, str, dict[str, int]]] = []
    carry = 0
    for i in range(bits):
        p, g, k, s, c = (100 + 10 * i + j for j in range(5))
        cells += [("p", "XOR", {"A": a[i], "B": acc[i], "Y": p}), ("g", "NAND", {"A": a[i], "B": acc[i], "Y": g})]
        if i == 0:
            s = p
            cells.append(("c", "INV", {"A": g, "Y": c}))
        else:
            cells.append(("s", "XOR", {"A": p, "B": carry, "Y": s}))
            cells.append(("k", "NAND", {"A": p, "B": carry, "Y": k}))
            cells.append(("c", "NAND", {"A": g, "B": k, "Y": c}))
        cells.append(("r", "DFF", {"CK": ck, "D": s, "R": ONE, "Q": acc[i]}))
        carry = c
    named = [(f"{name}{i}", kind, pins) for i, (name, kind, pins) in enumerate(cells) if pins.get("Y") != carry]
    return netlist(named, {"ck": (ck,), "a": a}, {"acc": acc})
