"""Replays the DSP48E2 model in the vendor's simulation model, vector by vector.

    python -m hwsim.fpga.unisim --unisim DSP48E2.v [--glbl glbl.v] [--write FILE.npz --commit C --date D]

DSP48E2.v and glbl.v are of github.com/Xilinx/XilinxUnisimLibrary (Apache-2.0), in verilog/src; they are not part of
this repository. Needs Icarus Verilog. Prints vectors and mismatches and exits 1 if there is one.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwsim.fpga.chain import Chain
from hwsim.fpga.dsp48e2 import WIDTHS, Dsp48e2, Inputs, Outputs
from hwsim.fpga.packed_verilog import parameters
from hwsim.fpga.stimulus import CYCLES, EPISODES, columns, words

Answers = NDArray[np.int64]  # (EPISODES, CYCLES, outputs)

_OUTPUTS = {
    "p": 48, "pcout": 48, "acout": 30, "bcout": 18, "carryout": 4, "carrycascout": 1, "multsignout": 1,
    "patterndetect": 1, "patternbdetect": 1, "overflow": 1, "underflow": 1,
}  # fmt: skip


def modelled() -> Iterator[Answers]:
    """What our model answers, slice by slice."""
    first = 0
    for slices in columns():
        column = Chain(slices=slices)
        given = [words(first + k) for k in range(len(slices))]
        states = column.reset((EPISODES,))
        steps: list[tuple[Outputs, ...]] = []
        for cycle in range(CYCLES):
            outs, states = column.step(states, [Inputs(**{k: w[:, cycle] for k, w in pins.items()}) for pins in given])
            steps.append(outs)
        for k in range(len(slices)):
            yield np.stack([np.stack(np.broadcast_arrays(*step[k]), -1) for step in steps], 1)
        first += len(slices)


def simulated(unisim: Path, glbl: Path) -> list[Answers]:
    """What the vendor's model answers to the same words. Raises FileNotFoundError for a missing file or tool."""
    iverilog, vvp = shutil.which("iverilog"), shutil.which("vvp")
    if iverilog is None or vvp is None:
        raise FileNotFoundError("unisim: needs Icarus Verilog (iverilog and vvp on the path): apt install iverilog")
    for path in (unisim, glbl):
        if not path.is_file():
            raise FileNotFoundError(
                f"unisim: {path} is not a file; fetch it from github.com/Xilinx/XilinxUnisimLibrary"
            )
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        bench = [_BENCH_HEAD]
        index = 0
        for slices in columns():
            for k, part in enumerate(slices):
                _write_words(place / f"in{index}.hex", words(index))
                bench.append(_unit(index, part, linked=k > 0))
                index += 1
        bench.append("endmodule\n")
        (place / "bench.v").write_text("\n".join(bench), encoding="ascii")
        build = [iverilog, "-g2005-sv", "-s", "bench", "-s", "glbl", "-o", "bench.vvp", "bench.v"]
        subprocess.run([*build, str(unisim.resolve()), str(glbl.resolve())], cwd=place, check=True, capture_output=True)
        subprocess.run([vvp, "-n", "bench.vvp"], cwd=place, check=True, stdout=subprocess.DEVNULL)
        return [_read_answers(place / f"out{i}.hex") for i in range(index)]


def digest(answers: Answers) -> str:
    """SHA-256 of one slice's answers."""
    return hashlib.sha256(np.ascontiguousarray(answers, "<i8").tobytes()).hexdigest()


_ENABLES = ("A1", "A2", "B1", "B2", "C", "D", "AD", "M", "P", "CTRL", "ALUMODE", "INMODE", "CARRYIN")  # order of HOLD
_RESETS = ("A", "B", "C", "D", "M", "P", "CTRL", "ALUMODE", "INMODE", "ALLCARRYIN")
_WIRES = {
    "p": "P", "pcout": "PCOUT", "acout": "ACOUT", "bcout": "BCOUT", "co": "CARRYOUT", "ccout": "CARRYCASCOUT",
    "msout": "MULTSIGNOUT", "pd": "PATTERNDETECT", "pbd": "PATTERNBDETECT", "ov": "OVERFLOW", "un": "UNDERFLOW",
}  # fmt: skip
_BENCH_HEAD = f"""`timescale 1ps/1ps
module bench;
  reg clk = 0, rst = 1;
  integer n = 0;
  always #5000 clk = ~clk;
  // A word holds from one edge to just before the next; 67 edges an episode, the first of which resets.
  initial begin
    #200000;
    @(posedge clk);
    repeat ({EPISODES}) begin
      #100 rst = 1;
      @(posedge clk);
      #100 rst = 0;
      repeat ({CYCLES}) begin
        @(posedge clk);
        #100 n = n + 1;
      end
    end
    $finish;
  end
"""


def _unit(index: int, part: Dsp48e2, *, linked: bool) -> str:
    """One slice: parameters, words from its file (or cascades from the slice below), answers to its file."""
    total = sum(WIDTHS.values())
    high = total
    take: dict[str, str] = {}
    for name, width in WIDTHS.items():
        take[name] = f"w{index}[{high - 1}:{high - width}]"
        high -= width
    cascades = {"acin": "acout", "bcin": "bcout", "pcin": "pcout", "carrycascin": "ccout", "multsignin": "msout"}
    if linked:
        take |= {pin: f"{wire}{index - 1}" for pin, wire in cascades.items()}
    pins = [f".{name.upper()}({wire})" for name, wire in take.items() if name != "hold"]
    pins += [f".CE{name}(~w{index}[{bit}])" for bit, name in enumerate(_ENABLES)]
    pins += [f".RST{name}(rst)" for name in _RESETS]
    pins += [f".{port}({wire}{index})" for wire, port in _WIRES.items()]
    bits = [f"co{index}[3]", f"co{index}[2]", f"co{index}[1]", f"co{index}[0]"]
    bits += [f"{wire}{index}" for wire in ("ccout", "msout", "pd", "pbd", "ov", "un")]
    defined = ", ".join(f"{bit} === 1'b1" for bit in bits)  # what the vendor leaves undefined is 0 here
    return f"""
  reg [{total - 1}:0] m{index} [0:{EPISODES * CYCLES - 1}];
  wire [{total - 1}:0] w{index} = m{index}[n];
  wire [47:0] p{index}, pcout{index};
  wire [29:0] acout{index};
  wire [17:0] bcout{index};
  wire [3:0] co{index};
  wire ccout{index}, msout{index}, pd{index}, pbd{index}, ov{index}, un{index};
  integer f{index};
  initial begin
    $readmemh("in{index}.hex", m{index});
    f{index} = $fopen("out{index}.hex", "w");
  end
  always @(posedge clk) if (!rst)
    $fwrite(f{index}, "%h %h %h %h %b\\n", p{index}, pcout{index}, acout{index}, bcout{index}, {{{defined}}});
  DSP48E2 #({parameters(part)}) u{index} ({", ".join(pins)}, .CLK(clk));
"""


def _write_words(path: Path, pins: dict[str, NDArray[np.int64]]) -> None:
    lines = []
    columns_ = [(name, width, pins[name].reshape(-1).tolist()) for name, width in WIDTHS.items()]
    for row in range(EPISODES * CYCLES):
        word = 0
        for _, width, values in columns_:
            word = word << width | values[row]
        lines.append(f"{word:x}")
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


def _read_answers(path: Path) -> Answers:
    rows = []
    for line in path.read_text(encoding="ascii").split("\n")[: EPISODES * CYCLES]:
        p, pcout, acout, bcout, flags = line.split()
        row = [_twos(p, 48), _twos(pcout, 48), _twos(acout, 30), _twos(bcout, 18), int(flags[:4], 2)]
        rows.append(row + [int(bit) for bit in flags[4:]])
    return np.array(rows, np.int64).reshape(EPISODES, CYCLES, len(_OUTPUTS))


def _twos(text: str, bits: int) -> int:
    value = int(text, 16)
    return value - (value >> (bits - 1) << bits)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m hwsim.fpga.unisim", description="replays the DSP48E2 model")
    parser.add_argument("--unisim", type=Path, required=True, help="the vendor's DSP48E2.v")
    parser.add_argument("--glbl", type=Path, help="the vendor's glbl.v (default: beside DSP48E2.v, or two folders up)")
    parser.add_argument("--write", type=Path, help="write the vendor's answers as a golden .npz")
    parser.add_argument("--commit", default="unknown", help="of the vendor's library, for the golden")
    parser.add_argument("--date", default="unknown", help="of that commit, for the golden")
    asked = parser.parse_args(arguments)
    theirs = simulated(asked.unisim, asked.glbl or find_glbl(asked.unisim))
    ours = list(modelled())
    wrong = sum(int((x != y).any(-1).sum()) for x, y in zip(ours, theirs, strict=True))
    for index, (x, y) in enumerate(zip(ours, theirs, strict=True)):
        if (x != y).any():
            bad = np.argwhere(x != y)[0]
            name = list(_OUTPUTS)[bad[2]]
            print(f"slice {index}, episode {bad[0]}, cycle {bad[1]}: {name} is {x[*bad]}, unisim has {y[*bad]}")
    print(f"{len(theirs)} slices, {len(theirs) * EPISODES * CYCLES} vectors, {wrong} mismatches")
    if asked.write is not None and not wrong:
        write_golden(asked.write, theirs, asked)
    return int(wrong > 0)


def find_glbl(unisim: Path) -> Path:
    """glbl.v beside the vendor's file, or where their repository has it."""
    beside = unisim.parent / "glbl.v"
    return beside if beside.is_file() else unisim.parent.parent / "glbl.v"


SHOWN = 4  # episodes whose P the golden has in full


def write_golden(path: Path, theirs: list[Answers], asked: argparse.Namespace) -> None:
    """Digests of all answers, P of a few episodes in full, and where they are from."""
    p = np.stack([answers[:SHOWN, :, 0] for answers in theirs])
    low = (p & ((1 << 48) - 1)).astype("<u8")
    np.savez_compressed(
        path,
        digests=np.array([digest(answers) for answers in theirs]),
        p=low.view(np.uint8).reshape(*low.shape, 8)[..., :6],
        configurations=np.array([repr(part) for slices in columns() for part in slices]),
        source=np.array(
            [
                "github.com/Xilinx/XilinxUnisimLibrary verilog/src/unisims/DSP48E2.v",
                asked.commit,
                asked.date,
                hashlib.sha256(asked.unisim.read_bytes()).hexdigest(),
            ]
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
