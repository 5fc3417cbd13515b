"""Timed toggles against Icarus Verilog: every toggle of random gate clouds with inertial rise and fall delays."""

import random
import subprocess
from pathlib import Path

import pytest

from hwsim.liberty.cells import Library, parse_library
from hwsim.liberty.energy import energy_per_cycle
from hwsim.liberty.timing import Conditions, static_timing
from hwsim.rtl.icarus import why_no_icarus
from hwsim.rtl.netlist import Netlist
from tests.hwsim.liberty import tiny

needs_icarus = pytest.mark.skipif(why_no_icarus() is not None, reason=why_no_icarus() or "")
GATES = {"INV": "~{A}", "NAND": "~({A} & {B})", "XOR": "{A} ^ {B}"}
PERIOD_FS = 400_000


def flat_library() -> Library:
    """Delays that depend on the load alone, the same from every pin: what `assign #(rise, fall)` can say."""

    def arc(pin: str, sense: str) -> str:
        rise = tiny.table("cell_rise", lambda x, c: 11.3 + 2.7 * c, 1e-3)
        fall = tiny.table("cell_fall", lambda x, c: 7.9 + 3.1 * c, 1e-3)
        return f'timing () {{ related_pin : "{pin}"; timing_sense : {sense}; {rise} {fall} }}'

    pins = tiny.pin_in("A", 1.03, 1.27), tiny.pin_in("B", 1.11, 1.31)
    inv = tiny.cell("INV", 1, pins[0] + tiny.pin_out("Y", "!A", arc("A", "negative_unate")))
    nand = tiny.cell(
        "NAND",
        1,
        "".join(pins) + tiny.pin_out("Y", "!(A*B)", arc("A", "negative_unate") + arc("B", "negative_unate")),
    )
    xor = tiny.cell("XOR", 1, "".join(pins) + tiny.pin_out("Y", "A^B", arc("A", "non_unate") + arc("B", "non_unate")))
    return parse_library(tiny.HEAD + inv + nand + xor + "}")


def cloud(rng: random.Random, gates: int) -> Netlist:
    nets = [2, 3, 4, 5]
    cells = []
    for i in range(gates):
        kind = rng.choice(list(GATES))
        pins = {"A": rng.choice(nets[-10:])} | ({} if kind == "INV" else {"B": rng.choice(nets)})
        cells.append((f"g{i}", kind, pins | {"Y": 10 + i}))
        nets.append(10 + i)
    return tiny.netlist(cells, {"a": (2, 3, 4, 5)}, {"y": tuple(nets[-3:])})


def icarus(
    folder: Path, circuit: Netlist, library: Library, conditions: Conditions, values: list[int], slow: int
) -> dict[int, list[int]]:
    """net -> times of its toggles after the first vector settled, fs, cycle after cycle of PERIOD_FS."""
    load = static_timing(circuit, library, conditions).load_ff
    lines = ["`timescale 1fs/1fs", "module top;", "reg [3:0] a;"]
    lines += [f"wire n{net} = a[{i}];" for i, net in enumerate(circuit.inputs["a"])]
    for cell in circuit.cells:
        net = cell.pins["Y"][0]
        delays = [
            round(1000 * t.at(0.0, load[net][e])) + slow
            for e, t in enumerate(library[cell.kind].pins["Y"].arcs[0].delay)
            if t
        ]
        inputs = {pin: f"n{nets[0]}" for pin, nets in cell.pins.items()}
        lines += [f"wire n{net};", f"assign #({delays[1]}, {delays[0]}) n{net} = {GATES[cell.kind].format(**inputs)};"]
    lines += ['initial begin $dumpfile("x.vcd"); $dumpvars(0, top);', f"a = {values[0]}; #{10 * PERIOD_FS};"]
    lines += [f"a = {value}; #{PERIOD_FS};" for value in values[1:]]
    lines += ["$finish; end", "endmodule"]
    (folder / "x.v").write_text("\n".join(lines), encoding="ascii")
    subprocess.run(["iverilog", "-o", "x", "x.v"], cwd=folder, check=True)
    subprocess.run(["vvp", "x"], cwd=folder, check=True, capture_output=True)
    names: dict[str, int] = {}
    found: dict[int, list[int]] = {}
    now = 0
    for line in (folder / "x.vcd").read_text(encoding="ascii").splitlines():
        words = line.split()
        if line.startswith("$var") and words[4].startswith("n"):
            names[words[3]] = int(words[4][1:])
        elif line.startswith("#"):
            now = int(line[1:])
        elif line[:1] in ("0", "1") and line[1:] in names and now >= 10 * PERIOD_FS:
            found.setdefault(names[line[1:]], []).append(now - 10 * PERIOD_FS)
    return found


def high_time(first: int, toggles: list[int], end: int) -> int:
    total, value, since = 0, first, 0
    for time in toggles:
        total += value * (time - since)
        value, since = 1 - value, time
    return total + value * (end - since)


@needs_icarus
@pytest.mark.parametrize("seed", range(4))
def test_every_toggle_is_that_of_icarus(tmp_path: Path, seed: int) -> None:
    """Counts of toggles, and the time at 1, which moves with any toggle's time: both exact in fs."""
    rng = random.Random(seed)
    library, conditions = flat_library(), Conditions(output_load_ff=1.7, wire_ff_per_fanout=0.019)
    circuit = cloud(rng, 40)
    values = [rng.randrange(16) for _ in range(40)]
    assert static_timing(circuit, library, conditions).delay_ps < PERIOD_FS / 1000
    found = energy_per_cycle(circuit, library, {"a": values}, conditions, period_ps=PERIOD_FS / 1000)
    expected = icarus(tmp_path, circuit, library, conditions, values, slow=0)
    still = energy_per_cycle(circuit, library, {"a": values}, conditions, timed=False)
    end = found.cycles * PERIOD_FS
    glitches = 0.0
    for net, (toggles, high) in found.activity.items():
        if net < 2:
            continue
        times = expected.get(net, [])
        assert toggles * found.cycles == pytest.approx(len(times)), net
        assert any(round(high * end) == high_time(first, times, end) for first in (0, 1)), net
        glitches += toggles - still.activity[net][0]
    assert glitches > 0
    slower = icarus(tmp_path, circuit, library, conditions, values, slow=900)  # the check can fail
    assert slower != expected
