"""Wires without gates, modules put together wrongly, and simulation at any width."""

from __future__ import annotations

import numpy as np
import pytest

import formats as nf
from hwsim.circuit import Bits, Build, Module, cat, constant, evaluate, reset, step
from hwsim.rtl.writer import expression, verilog


def wires(width: int) -> tuple[Build, Bits]:
    m = Build("m")
    return m, m.input("x", width)


def counter(width: int) -> Module:
    """A register that adds x each cycle, inside a module inside a module."""
    inner = Build("inner")
    total = inner.register("total", width)
    inner.drive("total", inner.leaf("add", "adder", width=width, a=total, b=inner.input("x", width)))
    inner.output("sum", total)
    outer = Build("outer")
    outer.output("sum", outer.module("count", inner.done(), x=outer.input("x", width)))
    return outer.done()


def test_rows_are_cut_joined_and_written_as_verilog_has_them() -> None:
    _, x = wires(8)
    assert expression(x) == "x"
    assert expression(x[2:5]) == "x[4:2]"
    assert expression(x[-1]) == "x[7]"
    assert expression(cat(x[4:], x[:4])) == "x"  # what was one row is one row again
    assert expression(cat(x[:4], x[4:])) == "{x[3:0], x[7:4]}"
    assert expression(x.sign_extend(11)) == "{{3{x[7]}}, x}"
    assert expression(x.zero_extend(9).above(2)) == "{1'b0, x, 2'b0}"
    assert expression(cat(constant(1, 2), constant(2, 3))) == "5'ha"
    assert (x.repeat(3).width, x[3:3].width) == (24, 0)
    with pytest.raises(IndexError, match=r"\[0:9\] of 8 wires"):
        x[0:9]


def test_rows_mean_what_they_say() -> None:
    m, x = wires(6)
    m.output("turned", cat(x[:2], x[2:]))
    m.output("extended", x.sign_extend(9))
    codes = np.arange(64)
    found = evaluate(m.done(), {"x": codes})
    assert (found["turned"] == (codes % 4 << 4 | codes >> 2)).all()
    assert (found["extended"] == (codes - (codes >> 5 << 6)) % 512).all()


def test_wide_outputs_of_narrow_wires_do_not_overflow() -> None:
    m, x = wires(40)
    m.output("twice", cat(x, x))
    assert evaluate(m.done(), {"x": 2**40 - 1})["twice"] == 2**80 - 1


@pytest.mark.parametrize("width", [8, 62, 63, 200])
def test_registers_keep_what_they_hold(width: int) -> None:
    module = counter(width)
    state = reset(module)
    assert list(state) == ["count/total_register"]
    for expected in (0, 2**width - 3, 2**width - 6):
        outputs, state = step(module, {"x": 2**width - 3}, state)
        assert outputs["sum"] == expected % 2**width


def test_modules_below_are_written_once() -> None:
    text = verilog(counter(8))
    assert text.count("module inner (") == 1
    assert text.count("inner count (.clk(clk)") == 1
    assert counter(8).clocked
    assert counter(8) == counter(8)


def test_what_does_not_fit_is_refused_by_name() -> None:
    m, x = wires(4)
    with pytest.raises(ValueError, match=r"'add' \(adder\) takes 5 wires at a, got 4"):
        m.leaf("add", "adder", width=5, a=x, b=x)
    with pytest.raises(ValueError, match=r"'add' \(adder\) takes a, b, got a"):
        m.leaf("add", "adder", width=4, a=x)
    with pytest.raises(ValueError, match="there is a 'x' already"):
        m.input("x", 3)
    with pytest.raises(ValueError, match="no word of Verilog, got 'end'"):
        m.input("end", 3)
    m.register("held", 4)
    with pytest.raises(ValueError, match="registers held are not driven"):
        m.done()
    with pytest.raises(ValueError, match="register 'held' has 4 wires, got 8"):
        m.drive("held", x.repeat(2))


def test_simulation_refuses_patterns_and_ports_that_are_not_there() -> None:
    module = counter(4)
    with pytest.raises(ValueError, match=r"outer: x takes patterns of 4 bits, got 16 \.\. 16"):
        step(module, {"x": 16}, reset(module))
    with pytest.raises(ValueError, match="outer: takes x, got y"):
        step(module, {"y": 1}, reset(module))
    with pytest.raises(ValueError, match="outer: holds registers; use step"):
        evaluate(module, {"x": 1})


def test_modules_round_a_register_are_no_loop() -> None:
    inner = Build("inner")
    inner.output("y", inner.leaf("turn", "inverter", width=1, a=inner.input("x", 1)))
    gate = inner.done()
    m = Build("ring")
    held = m.register("held", 1)
    first = m.module("first", gate, x=held)
    m.drive("held", m.module("second", gate, x=first))
    m.output("y", first)
    assert step(m.done(), {}, {"held_register": 1})[0]["y"] == 0


def test_single_integers_and_arrays_are_one_model_at_any_width() -> None:
    """Words beside one another are wider than int64 here, and numpy would make int64 of a single integer."""
    from hwsim.pe.float_rounding import Style
    from hwsim.pe.floating import Addend, float_adder

    adder = float_adder(nf.get("float32"), Style(), Addend(38, 0, 0, 0, 0, 37))  # type: ignore[arg-type]
    for significand in (1 << 37, 0x2345678901, 5 << 30, 3):
        ports = {"total": 0, "significand": significand, "sign": 0}
        alone = evaluate(adder, ports)["next"]
        many = evaluate(adder, {name: np.array([x, x], object) for name, x in ports.items()})["next"]
        assert int(alone) == int(many[0]) == int(np.float32(significand).view(np.uint32))
