"""The DSP48E2 slice of UltraScale(+), bit for bit and cycle for cycle: 27x18 multiplier, pre-adder, 48-bit ALU.

    mac = Dsp48e2(areg=1, breg=1, mreg=1, preg=1)
    state = mac.reset((1000,))                            # 1000 independent slices
    out, state = mac.step(state, Inputs(a=x, b=w, opmode=MULTIPLY | Z_P))
    out.p                                                 # what P shows in this cycle; state is after its clock edge

Parameters and ports have the vendor's names in lower case. A step is one clock cycle: outputs are those of the cycle,
before the edge that ends it, so an operand shows in P as many steps later as registers lie on its way, and in the same
step where there are none. Left out: the wide XOR, automatic reset on a pattern, inverted pins, reset pins (a state from
`reset` is what all of them leave).

Source: UG579 (AMD, UltraScale DSP48E2 slice); the carries, the two partial products and the order of registers are
checked against the vendor's simulation model, see hwsim/fpga/unisim.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwsim.fpga.alu import LANES, MASK48, alu, signed

Words = NDArray[np.int64]
Operand = int | NDArray[np.integer]

# OPMODE by what the four multiplexers pass; one of each group is joined by |. X_M and Y_M, the two partial products,
# only make sense together.
X_ZERO, X_M, X_P, X_AB = 0, 1, 2, 3
Y_ZERO, Y_M, Y_ONES, Y_C = 0, 4, 8, 12
Z_ZERO, Z_PCIN, Z_P, Z_C, Z_MACC_EXTEND, Z_PCIN_SHIFTED, Z_P_SHIFTED = (z << 4 for z in range(7))
W_ZERO, W_P, W_RND, W_C = (w << 7 for w in range(4))
MULTIPLY = X_M | Y_M

# ALUMODE for sums; S = W + X + Y + carry. The other legal values are two-operand logic.
ADD, NEGATE_Z, NEGATE_ALL, SUBTRACT = 0, 1, 2, 3  # Z + S, S - Z - 1, -Z - S - 1, Z - S

# Ports and their widths. A port takes integers, signed or unsigned, that fit its width.
WIDTHS = {
    "a": 30, "b": 18, "c": 48, "d": 27, "acin": 30, "bcin": 18, "pcin": 48, "carryin": 1, "carrycascin": 1,
    "multsignin": 1, "opmode": 9, "alumode": 4, "inmode": 5, "carryinsel": 3, "hold": 13,
}  # fmt: skip

# Registers with a clock enable of their own, as bits of the `hold` input (1: the register keeps its content).
HOLD = {
    name: 1 << bit
    for bit, name in enumerate(
        ("a1", "a2", "b1", "b2", "c", "d", "ad", "m", "p", "control", "alumode", "inmode", "carryin")
    )
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """What the pins carry during one cycle: integers or int64 arrays that broadcast to the shape of the state.

    opmode, alumode, inmode, carryinsel: the vendor's codes. hold: clock enables that are low, as bits of HOLD.
    """

    a: Operand = 0
    b: Operand = 0
    c: Operand = 0
    d: Operand = 0
    acin: Operand = 0
    bcin: Operand = 0
    pcin: Operand = 0
    carryin: Operand = 0
    carrycascin: Operand = 0
    multsignin: Operand = 0
    opmode: Operand = MULTIPLY
    alumode: Operand = ADD
    inmode: Operand = 0
    carryinsel: Operand = 0
    hold: Operand = 0


class State(NamedTuple):
    """Contents of the registers, as bit patterns, all of one shape. Registers a slice bypasses are there and unused."""

    a1: Words
    a2: Words
    b1: Words
    b2: Words
    c: Words
    d: Words
    ad: Words
    u: Words  # the multiplier's two partial products; their sum is M
    v: Words
    round_carry: Words
    p: Words
    carryout: Words
    subtracted: Words
    multsign: Words
    matches: Words  # bit 0: PATTERNDETECT, 1: PATTERNBDETECT, 2 and 3: the same a cycle earlier
    opmode: Words
    carryinsel: Words
    alumode: Words
    inmode: Words
    carryin: Words


class Outputs(NamedTuple):
    """What the slice drives during the cycle. p and pcout are the same 48 bits, signed, as are acout and bcout.

    carryout: bit i for lane i as the vendor numbers them (one48: only 3; two24: 1 and 3); bits the vendor leaves
    undefined are 0. overflow, underflow: 0 without pattern detection.
    """

    p: Words
    pcout: Words
    acout: Words
    bcout: Words
    carryout: Words
    carrycascout: Words
    multsignout: Words
    patterndetect: Words
    patternbdetect: Words
    overflow: Words
    underflow: Words


_LEVELS = {"areg": 2, "breg": 2, "acascreg": 2, "bcascreg": 2}
CHOICES: dict[str, tuple[str, ...]] = {
    "amultsel": ("a", "ad"),
    "bmultsel": ("b", "ad"),
    "preaddinsel": ("a", "b"),
    "a_input": ("direct", "cascade"),
    "b_input": ("direct", "cascade"),
    "use_mult": ("multiply", "dynamic", "none"),
    "use_simd": tuple(LANES),
    "sel_mask": ("mask", "c", "rounding_mode1", "rounding_mode2"),
    "sel_pattern": ("pattern", "c"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Dsp48e2:
    """One slice as configured; every `*reg` is how many registers the path has (0 or 1; A and B up to 2).

    acascreg, bcascreg: registers before ACOUT and BCOUT; None takes areg and breg. amultsel="ad" multiplies by the
    pre-adder's sum instead of A, bmultsel="ad" instead of B. use_simd: "one48", "two24" or "four12".
    Raises ValueError for parameters the slice does not have.
    """

    areg: int = 1
    breg: int = 1
    acascreg: int | None = None
    bcascreg: int | None = None
    creg: int = 1
    dreg: int = 1
    adreg: int = 1
    mreg: int = 1
    preg: int = 1
    opmodereg: int = 1
    carryinselreg: int = 1
    alumodereg: int = 1
    inmodereg: int = 1
    carryinreg: int = 1
    amultsel: Literal["a", "ad"] = "a"
    bmultsel: Literal["b", "ad"] = "b"
    preaddinsel: Literal["a", "b"] = "a"
    a_input: Literal["direct", "cascade"] = "direct"
    b_input: Literal["direct", "cascade"] = "direct"
    use_mult: Literal["multiply", "dynamic", "none"] = "multiply"
    use_simd: Literal["one48", "two24", "four12"] = "one48"
    use_pattern_detect: bool = False
    sel_mask: Literal["mask", "c", "rounding_mode1", "rounding_mode2"] = "mask"
    sel_pattern: Literal["pattern", "c"] = "pattern"
    pattern: int = 0
    mask: int = field(default=(1 << 46) - 1)
    rnd: int = 0

    def __post_init__(self) -> None:
        for item in fields(self):
            value, name = getattr(self, item.name), item.name
            if name in CHOICES and value not in CHOICES[name]:
                raise ValueError(f"Dsp48e2: {name} must be one of {', '.join(CHOICES[name])}, got {value!r}")
            if name.endswith("reg") and value is not None and value not in range(_LEVELS.get(name, 1) + 1):
                raise ValueError(f"Dsp48e2: {name} must be 0 to {_LEVELS.get(name, 1)}, got {value!r}")
            if name in ("pattern", "mask", "rnd") and not 0 <= value <= MASK48:
                raise ValueError(f"Dsp48e2: {name} is a word of 48 bits, 0 to 2**48 - 1, got {value!r}")
        for port, levels, cascade in (("a", self.areg, self.acascreg), ("b", self.breg, self.bcascreg)):
            legal = (1, 2) if levels == 2 else (levels,)
            if cascade is not None and cascade not in legal:
                raise ValueError(
                    f"Dsp48e2: {port}cascreg={cascade} with {port}reg={levels}; the cascade has "
                    f"{' or '.join(map(str, legal))} register{'s' * (legal != (1,))} there"
                )
        if self.use_mult == "none" and self.mreg:
            raise ValueError("Dsp48e2: use_mult='none' needs mreg=0: the slice has no product to hold")

    @property
    def latency(self) -> int:
        """Clock edges from A and B direct through the multiplier to P: an operand of step t shows in P at t + latency.

        With the pre-adder its own registers are counted in place of A's where its path is the longer one.
        """
        through_a = self.areg if self.amultsel == "a" else max(self.areg, self.dreg) + self.adreg
        return max(through_a, self.breg) + self.mreg + self.preg

    def reset(self, shape: tuple[int, ...] = ()) -> State:
        """All registers zero, for slices of any number of independent copies."""
        zero = np.zeros(shape, np.int64)
        return State(*(zero for _ in State._fields))

    def step(self, state: State, inputs: Inputs) -> tuple[Outputs, State]:
        """One clock cycle of every slice: what it drives during the cycle, and its registers after the edge.

        Raises ValueError for a pin that gets more bits than it has, for one partial product without the other, and for
        ALUMODE values 8 to 11, which the slice does not define.
        """
        pins = {name: _pin(name, getattr(inputs, name)) for name in WIDTHS}
        live, out = self._settle(state, pins)
        hold = pins["hold"]

        def clocked(enable: str, new: Words, old: Words) -> Words:
            return np.where(hold & HOLD[enable], old, new)

        a_in = pins["acin" if self.a_input == "cascade" else "a"]
        b_in = pins["bcin" if self.b_input == "cascade" else "b"]
        # A slice without registers on a path keeps its first register at 0 (INMODE may still point there).
        after = State(
            a1=clocked("a1", a_in, state.a1) if self.areg else state.a1,
            a2=clocked("a2", state.a1 if self.areg == 2 else a_in, state.a2) if self.areg else state.a2,
            b1=clocked("b1", b_in, state.b1) if self.breg else state.b1,
            b2=clocked("b2", state.b1 if self.breg == 2 else b_in, state.b2) if self.breg else state.b2,
            c=clocked("c", pins["c"], state.c),
            d=clocked("d", pins["d"], state.d),
            ad=clocked("ad", live["ad"], state.ad),
            u=clocked("m", live["u"], state.u),
            v=clocked("m", live["v"], state.v),
            round_carry=clocked("m", live["round_carry"], state.round_carry),
            p=clocked("p", live["p"], state.p) if self.preg else state.p,
            carryout=clocked("p", live["carryout"], state.carryout) if self.preg else state.carryout,
            subtracted=clocked("p", live["subtracted"], state.subtracted) if self.preg else state.subtracted,
            multsign=clocked("p", live["multsign"], state.multsign) if self.preg else state.multsign,
            matches=clocked("p", live["matches"] | (state.matches & 3) << 2, state.matches),
            opmode=clocked("control", pins["opmode"], state.opmode),
            carryinsel=clocked("control", pins["carryinsel"], state.carryinsel),
            alumode=clocked("alumode", pins["alumode"], state.alumode),
            inmode=clocked("inmode", pins["inmode"], state.inmode),
            carryin=clocked("carryin", pins["carryin"], state.carryin),
        )
        return out, after

    def _settle(self, state: State, pins: dict[str, Words]) -> tuple[dict[str, Words], Outputs]:
        """The combinational paths: values at the inputs of the later registers, and the outputs."""

        def through(levels: int, pin: str) -> Words:
            held: Words = getattr(state, pin)
            return held if levels else pins[pin]

        inmode = through(self.inmodereg, "inmode")
        opmode = through(self.opmodereg, "opmode")
        alumode = through(self.alumodereg, "alumode")
        select = through(self.carryinselreg, "carryinsel")
        carryin = through(self.carryinreg, "carryin")
        c = through(self.creg, "c")
        # Without a multiplier the pre-adder's registers are bypassed; CARRYINSEL 6 still sees its sign.
        unused = self.use_mult == "none"
        d = through(self.dreg and not unused, "d")
        a = state.a2 if self.areg else pins["acin" if self.a_input == "cascade" else "a"]
        b = state.b2 if self.breg else pins["bcin" if self.b_input == "cascade" else "b"]
        _check_codes(opmode, alumode)

        # Pre-adder: D (or 0) plus or minus A or B, which INMODE[1] turns off on the side that feeds it.
        off = (inmode >> 1) & 1 == 1
        a_port = np.where(inmode & 1, state.a1, a) & _MASK27
        b_port = np.where(inmode >> 4 & 1, state.b1, b)
        if self.preaddinsel == "a":
            addend = a_port = np.where(off, 0, a_port)
        else:
            b_port = np.where(off, 0, b_port)
            addend = signed(b_port, 18)
        d_gated = np.where(inmode >> 2 & 1, d, 0)
        ad_sum = np.where(inmode >> 3 & 1, d_gated - addend, d_gated + addend) & _MASK27
        ad = state.ad if self.adreg and not unused else ad_sum

        # Multiplier: two partial products of alternating bits, as the slice hands them to the ALU.
        left = signed(ad if self.amultsel == "ad" else a_port, 27)
        right = signed((ad if self.bmultsel == "ad" else b_port) & _MASK18, 18)
        product = np.zeros_like(left) if unused else left * right
        u_now = (product & _ODD) | _BIT44
        v_now = (product & _EVEN) | (~product & _BIT44)
        agree = 1 - ((left < 0) ^ (right < 0)).astype(np.int64)
        u, v = (state.u, state.v) if self.mreg else (u_now, v_now)
        if self.use_simd != "one48":
            u = v = np.full_like(u, _BIT44)  # a product of 0: lanes cannot multiply
        round_carry = state.round_carry if self.mreg else agree

        # Multiplexers W, X, Y, Z and the carry in.
        z_code, pcin = opmode >> 4 & 7, pins["pcin"]
        extend = np.where(z_code == 4, pins["multsignin"] << 1, 0)
        x = _pick(opmode & 3, lambda: extend, lambda: signed(u, 45) & MASK48, lambda: state.p, lambda: a << 18 | b)
        y = _pick(opmode >> 2 & 3, lambda: 0, lambda: v, lambda: MASK48, lambda: c)
        p17, pcin17 = (signed(word, 48) >> 17 & MASK48 for word in (state.p, pcin))
        z = np.choose(z_code, (np.zeros_like(c), pcin, state.p, c, state.p, pcin17, p17, p17))
        w = _pick(opmode >> 7, lambda: 0, lambda: state.p, lambda: self.rnd, lambda: c)
        p47, pcin47 = state.p >> 47, pcin >> 47
        cascaded = state.subtracted ^ state.carryout >> 3
        carry = np.choose(
            select, (carryin, 1 - pcin47, pins["carrycascin"], pcin47, cascaded, 1 - p47, round_carry, p47)
        )

        result = alu(w, x, y, z, carry, alumode, self.use_simd)
        undefined = ((opmode & 15) == MULTIPLY) | (alumode >> 2 != 0)
        carryout = np.where(undefined, result.carryout & 8, result.carryout)
        subtracted = (alumode & 3 == 3).astype(np.int64)
        matches = self._matches(result.p, c)
        live = {
            "ad": ad_sum, "u": u_now, "v": v_now, "round_carry": agree, "p": result.p, "carryout": carryout,
            "subtracted": subtracted, "multsign": result.multsign, "matches": matches,
        }  # fmt: skip
        return live, self._outputs(state, live, a, b)

    def _outputs(self, state: State, live: dict[str, Words], a: Words, b: Words) -> Outputs:
        held = state._asdict()
        p, carryout, subtracted, multsign, matches = (
            held[name] if self.preg else live[name] for name in ("p", "carryout", "subtracted", "multsign", "matches")
        )
        earlier = matches >> 2 if self.preg else matches
        neither = (matches & 3 == 0) & self.use_pattern_detect
        p_signed = signed(p, 48)
        return Outputs(
            p=p_signed,
            pcout=p_signed,
            acout=signed(a if self.acascreg in (None, self.areg) else state.a1, 30),
            bcout=signed(b if self.bcascreg in (None, self.breg) else state.b1, 18),
            carryout=carryout,
            carrycascout=subtracted ^ carryout >> 3,
            multsignout=multsign,
            patterndetect=matches & 1,
            patternbdetect=matches >> 1 & 1,
            overflow=np.where(neither, earlier & 1, 0),
            underflow=np.where(neither, earlier >> 1 & 1, 0),
        )

    def _matches(self, p: Words, c: Words) -> Words:
        """PATTERNDETECT and PATTERNBDETECT: P equals the pattern, or its complement, in every bit not masked."""
        if not self.use_pattern_detect:
            return np.full_like(p, 3)
        mask: Operand = self.mask
        if self.sel_mask == "c":
            mask = c
        elif self.sel_mask != "mask":  # the bits a shift vacates are 0: compared
            mask = (~c << (1 if self.sel_mask == "rounding_mode1" else 2)) & MASK48
        differs = (p ^ (self.pattern if self.sel_pattern == "pattern" else c)) & MASK48
        equal: Words = ((differs | mask) == mask).astype(np.int64)
        opposite: Words = ((differs | mask) == MASK48).astype(np.int64)
        return equal | opposite << 1


_MASK18, _MASK27 = (1 << 18) - 1, (1 << 27) - 1
_ODD, _EVEN, _BIT44 = 0x555_5555_5555, 0xAAA_AAAA_AAAA, 1 << 44


def _pin(name: str, value: Operand) -> Words:
    """The bits of a pin, 0 to 2**width - 1."""
    width = WIDTHS[name]
    if not isinstance(value, int | np.integer) and not (
        isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.integer)
    ):
        raise TypeError(f"Dsp48e2: {name} takes integers or integer arrays, got {type(value).__name__}")
    low, high = (value, value) if isinstance(value, int) else (value.min(initial=0), value.max(initial=0))
    least = -(1 << (width - 1)) if width > 13 else 0
    if low < least or high >= 1 << width:
        worst = low if low < least else high
        raise ValueError(f"Dsp48e2: {name} has {width} bits, {least} to {(1 << width) - 1}; got {worst}")
    return np.asarray(value, np.int64) & ((1 << width) - 1)


def _check_codes(opmode: Words, alumode: Words) -> None:
    if np.any((opmode & 3 == X_M) != (opmode & 12 == Y_M)):
        raise ValueError(
            "Dsp48e2: OPMODE takes one partial product without the other; X_M and Y_M go together: use MULTIPLY"
        )
    if np.any(alumode >> 2 == 2):
        raise ValueError("Dsp48e2: ALUMODE 8 to 11 are not defined; 0 to 3 add and subtract, 4 to 7 and 12 to 15 logic")


def _pick(code: Words, *choices: Callable[[], Operand]) -> Words:
    """Each word from the choice its code names; choices no code names are not looked at."""
    if code.ndim == 0:
        return np.asarray(choices[int(code)](), np.int64)
    return np.choose(code, [choice() for choice in choices])
