"""Certificates that a netlist computes what Python integers say: proved, or tested with so many vectors.

    prove_exhaustive   every input, by simulation of the netlist: proved.
    check_vectors      the vectors given, nothing more: tested.
    prove_step         a clocked datapath, by induction over its clock: proved (see module induction).

Trusted is this package's simulation of the cells' functions; nothing of yosys is, as its result is what is checked.
What the netlist says is what is proved: timing, and whether a layout holds it, are other questions.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.rtl.models import YOSYS_CELLS, CellModel
from hwsim.rtl.netlist import Netlist
from hwsim.rtl.stepping import Integers, StepFunction

EXHAUSTIVE_VECTORS = 2**20
Oracle = Callable[[dict[str, Any]], Mapping[str, ArrayLike]]
Status = Literal["proved", "tested", "refuted", "undecided"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """status: proved; tested (all vectors agree); refuted (counterexample says where); undecided (SAT ran out of time).

    vectors: simulated. mismatches: among them; where SAT found the difference, 1. counterexample: inputs, registers
    and, as `got NAME` and `expected NAME`, outputs. digest: sha256 of what the proof is of (see `certificate`).
    """

    status: Status
    method: str
    vectors: int
    mismatches: int
    digest: str
    counterexample: Mapping[str, int] | None = None

    def __str__(self) -> str:
        method = re.sub(" of codes with sha256 [0-9a-f]+", "", self.method)
        where = (
            "" if self.counterexample is None else f", {self.mismatches} wrong, first at {dict(self.counterexample)}"
        )
        return f"{self.status} ({method}; {self.vectors} vectors{where}), certificate {self.digest[:12]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a certificate names besides the netlist. verilog: its text. oracle: name of what gave the expected values.

    yosys_version: "" where no yosys was used. seed: of the vectors, None where they are all there are.
    """

    verilog: str = ""
    oracle: str = ""
    yosys_version: str = ""
    seed: int | None = None


ANONYMOUS = Subject()


def certificate(netlist: Netlist, subject: Subject, method: str, vectors: int, status: Status) -> str:
    """sha256 over Verilog, netlist, method, oracle, seed, number of vectors, yosys version and status.

    Equal for equal inputs on any machine.
    """
    told = {
        "verilog": hashlib.sha256(subject.verilog.encode()).hexdigest(),
        "netlist": netlist.digest(),
        "method": method,
        "oracle": subject.oracle,
        "seed": subject.seed,
        "vectors": vectors,
        "yosys": subject.yosys_version,
        "status": status,
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def prove_exhaustive(
    netlist: Netlist,
    expected: Oracle,
    inputs: Mapping[str, ArrayLike] | None = None,
    *,
    models: Mapping[str, CellModel] = YOSYS_CELLS,
    subject: Subject = ANONYMOUS,
) -> Proof:
    """Every combination of the inputs' codes, simulated.

    inputs: port or register word -> the codes it may take; where left out all of them, 0 <= code < 2**width. expected:
    from codes [n] of every input to integers [n] of outputs, modulo 2**width: output ports and `next WORD` of
    registers, all of them. Raises ValueError above EXHAUSTIVE_VECTORS combinations, and for outputs left out.
    """
    step = StepFunction(netlist, models)
    values, count = combinations(step.inputs, inputs or {})
    method = f"exhaustive simulation{of_codes(inputs or {})}"
    return _compare(step, expected, values, count, "proved", method, subject)


def of_codes(inputs: Mapping[str, ArrayLike]) -> str:
    """Which codes a proof is restricted to, for its method; "" where to none."""
    listed = {name: [int(code) for code in np.asarray(codes)] for name, codes in sorted(inputs.items())}
    return f" of codes with sha256 {hashlib.sha256(json.dumps(listed).encode()).hexdigest()}" if listed else ""


def check_vectors(
    netlist: Netlist,
    expected: Oracle,
    inputs: Mapping[str, ArrayLike],
    *,
    models: Mapping[str, CellModel] = YOSYS_CELLS,
    subject: Subject = ANONYMOUS,
) -> Proof:
    """One step on the vectors given: integers [n] of every port and register word; expected as in prove_exhaustive."""
    step = StepFunction(netlist, models)
    values = {name: np.asarray(array) for name, array in inputs.items()}
    count = len(next(iter(values.values()))) if values else 1
    return _compare(step, expected, values, count, "tested", "simulation", subject)


def combinations(widths: Mapping[str, int], given: Mapping[str, ArrayLike]) -> tuple[dict[str, Integers], int]:
    """Every combination of the inputs' codes: integers [n] an input, and n. given: codes of inputs, where not all."""
    if not set(given) <= set(widths):
        raise ValueError(f"codes for {sorted(given)} arrived; the inputs are {sorted(widths)}")
    sizes = {name: len(np.asarray(given[name])) if name in given else 2**width for name, width in widths.items()}
    count = math.prod(sizes.values())
    if not 0 < count <= EXHAUSTIVE_VECTORS:
        raise ValueError(
            f"{count} combinations of inputs of {dict(widths)} bits; 1 to {EXHAUSTIVE_VECTORS} can be tried: give "
            "fewer codes in inputs, or use prove_step or check_vectors"
        )
    values: dict[str, Integers] = {}
    repeat = 1
    for name, size in sizes.items():
        codes = np.asarray(given[name]) if name in given else np.arange(size)
        values[name] = np.tile(np.repeat(codes, repeat), count // (repeat * size))
        repeat *= size
    return values, count


def differ(got: ArrayLike, want: ArrayLike, mask: int) -> NDArray[np.bool_]:
    """Where the bits of the mask differ, whatever the signs and types of the integers."""
    one, other = np.asarray(got), np.asarray(want)
    if other.dtype.kind not in "iubO":
        raise TypeError(f"expected values of type {other.dtype} arrived; give integers")
    if one.shape != other.shape:
        raise ValueError(f"expected values of shape {other.shape} arrived; {one.shape} is needed")
    if mask >> 63 or object in (one.dtype, other.dtype):
        return np.array([(int(a) ^ int(b)) & mask != 0 for a, b in zip(one, other, strict=True)], bool)
    bits: NDArray[np.bool_] = ((one.astype(np.int64) ^ other.astype(np.int64)) & mask) != 0
    return bits


def conclude(
    status: Status,
    method: str,
    netlist: Netlist,
    subject: Subject,
    *,
    vectors: int,
    mismatches: int = 0,
    counterexample: Mapping[str, int] | None = None,
) -> Proof:
    """The proof with its digest."""
    return Proof(
        status=status,
        method=method,
        vectors=vectors,
        mismatches=mismatches,
        digest=certificate(netlist, subject, method, vectors, status),
        counterexample=counterexample,
    )


def _compare(
    step: StepFunction,
    expected: Oracle,
    values: dict[str, Any],
    count: int,
    status: Status,
    method: str,
    subject: Subject,
) -> Proof:
    got = step(values)
    want = expected(values)
    if set(want) != set(step.outputs):
        raise ValueError(f"expected gives {sorted(want)}; the netlist has {sorted(step.outputs)}")
    wrong = np.zeros(count, bool)
    for name, mask in step.masks().items():
        wrong |= differ(got[name], want[name], mask)
    netlist = step.gates.netlist
    if not wrong.any():
        return conclude(status, method, netlist, subject, vectors=count)
    first = int(np.argmax(wrong))
    example = {name: int(array[first]) % (1 << step.inputs[name]) for name, array in values.items()}
    for name, mask in step.masks().items():
        example[f"got {name}"] = int(got[name][first]) & mask
        example[f"expected {name}"] = int(np.asarray(want[name])[first]) & mask
    mismatches = int(wrong.sum())
    return conclude("refuted", method, netlist, subject, vectors=count, mismatches=mismatches, counterexample=example)
