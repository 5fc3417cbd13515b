"""A packing scheme as Verilog: one DSP48E2 instance and the correction around it, for counting LUTs and for use.

    text = packed_verilog(PACKINGS["restored-1"])       # module packed_restored_1
    synth_xilinx(text, module_name(scheme)).luts        # what the correction costs; published: 4

Ports: w0, w1, ... (wide lanes), a0, a1, ... (narrow lanes), r0, r1, ... (products, lowest offset first). There is no
clock: the slice's registers and the pipeline around it are the user's.
"""

from __future__ import annotations

from dataclasses import fields

from hwsim.fpga.dsp48e2 import CHOICES, MULTIPLY, Z_C, Dsp48e2
from hwsim.fpga.packing import A_PLUS_D, NARROW, P_BITS, SLICE, Lane, Packing, Product


def module_name(scheme: Packing) -> str:
    """A Verilog name: packed_ and the scheme's own."""
    return "packed_" + "".join(letter if letter.isalnum() else "_" for letter in scheme.name)


def parameters(part: Dsp48e2) -> str:
    """The configuration as parameters of a Verilog instance."""
    numbers = [f.name for f in fields(part) if f.name.endswith("reg") and "casc" not in f.name]
    said = [f".{name.upper()}({getattr(part, name)})" for name in numbers]
    said += [f'.{name.upper()}("{getattr(part, name).upper()}")' for name in CHOICES]
    said += [f".{name.upper()}(48'h{getattr(part, name):x})" for name in ("pattern", "mask", "rnd")]
    for cascade, levels in (("acascreg", "areg"), ("bcascreg", "breg")):
        value = getattr(part, cascade)
        said.append(f".{cascade.upper()}({getattr(part, levels) if value is None else value})")
    said.append(f'.USE_PATTERN_DETECT("{"PATDET" if part.use_pattern_detect else "NO_PATDET"}")')
    return ", ".join(said)


def packed_verilog(scheme: Packing) -> str:
    """One module; needs nothing but the vendor's DSP48E2."""
    lanes = [*((f"w{i}", lane) for i, lane in enumerate(scheme.wide))]
    lanes += [(f"a{j}", lane) for j, lane in enumerate(scheme.narrow)]
    ports = [f"input wire {_signed(lane.signed)}[{lane.bits - 1}:0] {name}" for name, lane in lanes]
    ports += [f"output wire {_signed(p.signed)}[{p.bits - 1}:0] r{k}" for k, p in enumerate(scheme.products)]
    body = [f"wire [47:0] {name}_at = {_placed(name, lane)};" for name, lane in lanes]
    narrow = [f"a{j}_at" for j in range(len(scheme.narrow))]
    below = [f"w{i}_at" for i in range(len(scheme.wide) - 1)]
    body += [
        f"wire [47:0] low = {' + '.join(below) or _constant(0)};",
        f"wire [47:0] top = w{len(scheme.wide) - 1}_at;",
        # Unsigned lanes lie side by side; a sum of them is no adder.
        f"wire [47:0] word = {(' + ' if any(lane.signed for lane in scheme.narrow) else ' | ').join(narrow)};",
        f"wire [47:0] c = {_c(scheme)};",
        "wire [47:0] p;",
        _instance(),
        *_fields(scheme),
    ]
    head = f"module {module_name(scheme)} (\n  " + ",\n  ".join(ports) + "\n);"
    return "\n".join([head, *(f"  {line}" for line in body), "endmodule", ""])


def _instance() -> str:
    pins = {
        "A": "low[29:0]", "B": "word[17:0]", "C": "c", "D": "top[26:0]", "P": "p", "OPMODE": f"9'd{MULTIPLY | Z_C}",
        "INMODE": f"5'd{A_PLUS_D}", "ALUMODE": "4'd0", "CARRYINSEL": "3'd0", "CARRYIN": "1'b0", "CLK": "1'b0",
    }  # fmt: skip
    wired = ", ".join(f".{pin}({wire})" for pin, wire in pins.items())
    return f"DSP48E2 #({parameters(SLICE)}) slice ({wired});"


def _c(scheme: Packing) -> str:
    terms = []
    if max(lane.range[1] << lane.offset for lane in scheme.narrow) >= 1 << (NARROW - 1):
        terms.append(f"({{48{{word[{NARROW - 1}]}}}} & ((low + top) << {NARROW}))")
    if scheme.correction == "approximate":
        signs = [
            f"({{47'd0, {_sign(f'w{p.wide}', scheme.wide[p.wide])} ^ {_sign(f'a{p.narrow}', scheme.narrow[p.narrow])}}}"
            f" << {above.offset})"
            for p, above in zip(scheme.products, scheme.products[1:], strict=False)
        ]
        terms.append(f"({' | '.join(signs)})")
    return " + ".join(terms) or _constant(0)


def _fields(scheme: Packing) -> list[str]:
    """The products out of p; rest_k is p less what lies below field k."""
    products = scheme.products
    lines: list[str] = []
    serial = scheme.correction == "full" and scheme.padding < 0
    if serial:
        lines.append("wire signed [47:0] rest0 = p;")
    for k, field in enumerate(products):
        overlap = max(field.bits - field.spacing, 0)
        last = field.bits - 1
        raw = f"rest{k}[{last}:0]" if serial else f"p[{field.offset + last}:{field.offset}]"
        if overlap and scheme.correction in ("restore", "full"):
            lines.append(_low_bits(products[k + 1], k, overlap))
            raw = f"{raw} - {{low{k}, {field.spacing}'d0}}"
        elif scheme.correction == "full" and k and not serial and products[k - 1].signed:
            raw = f"{raw} + {{{last}'d0, p[{field.offset - 1}]}}"
        lines.append(f"assign r{k} = {raw};")
        if serial and k + 1 < len(products):
            extended = f"{{{{{P_BITS - field.bits}{{r{k}[{last}]}}}}, r{k}}}" if field.signed else f"r{k}"
            lines.append(f"wire signed [47:0] less{k} = rest{k} - {extended};")
            lines.append(f"wire signed [47:0] rest{k + 1} = less{k} >>> {field.spacing};")
    return lines


def _low_bits(above: Product, k: int, overlap: int) -> str:
    high = overlap - 1
    return f"wire [{high}:0] low{k} = w{above.wide}[{high}:0] * a{above.narrow}[{high}:0];"


def _placed(name: str, lane: Lane) -> str:
    top, rest = f"{name}[{lane.bits - 1}]", P_BITS - lane.bits - lane.offset
    parts = [f"{{{rest}{{{top if lane.signed else _zero()}}}}}", name]
    parts += [f"{lane.offset}'d0"] if lane.offset else []
    return f"{{{', '.join(parts)}}}"


def _sign(name: str, lane: Lane) -> str:
    return f"{name}[{lane.bits - 1}]" if lane.signed else _zero()


def _zero() -> str:
    return "1'b0"


def _constant(value: int) -> str:
    return f"48'd{value}"


def _signed(yes: bool) -> str:
    return "signed " if yes else ""
