"""Cells in fixed units, functions as truth tables, and libraries that cannot be used."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.liberty.cells import parse_library
from hwsim.liberty.function import parse_function
from hwsim.liberty.model import Table
from hwsim.liberty.parse import LibertyError
from tests.hwsim.liberty import tiny


@pytest.mark.parametrize(
    ("text", "python"),
    [
        ("A", "A"),
        ("!A'", "A"),
        ("(A B)'", "not (A and B)"),
        ("A*B + C&D | !A", "(A and B) or (C and D) or not A"),
        ("A^B*C", "(A ^ B) and C"),  # ^ binds tighter than *
        ("A' B' + A B", "(not A and not B) or (A and B)"),
        ("!(A+B)C", "(not (A or B)) and C"),
        ("A ^ !B", "A ^ (not B)"),
        ("((A))|0", "A"),
        ("A&1", "A"),
        ("1", "True"),
    ],
)
def test_functions_follow_their_operators(text: str, python: str) -> None:
    function = parse_function(text)
    for values in itertools.product((0, 1), repeat=4):
        state = dict(zip("ABCD", values, strict=True))
        expected = bool(eval(python, {name: bool(value) for name, value in state.items()}))
        assert function.value(state) == expected, (text, state)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A +", "'the end' where a name was expected"),
        ("(A", "a parenthesis is not closed"),
        ("A)", r"'\)' where the function should end"),
        ("A - B", "- B' is not a name"),
        ("+".join(f"P{i}" for i in range(13)), "13 pins; at most 12"),
    ],
)
def test_broken_functions(text: str, message: str) -> None:
    with pytest.raises(LibertyError, match=message):
        parse_function(text)


def test_sense() -> None:
    function = parse_function("A*!B + C^D")
    assert [function.sense(pin) for pin in "ABCD"] == ["positive_unate", "negative_unate", "non_unate", "non_unate"]


@given(st.floats(-5, 90), st.floats(-2, 9))
def test_tables_are_exact_on_planes_inside_and_outside(x: float, y: float) -> None:
    table = tiny.library()["INV"].pins["Y"].arcs[0].delay[1]
    assert table is not None
    assert table.at(x, y) == pytest.approx(10 + 2 * y + 0.1 * x, abs=1e-9)


def test_tables_are_bilinear_between_points() -> None:
    table = Table((0.0, 1.0), (0.0, 2.0), ((0.0, 2.0), (4.0, 10.0)))
    assert table.at(0.5, 1.0) == 4.0  # the mean of the corners
    assert table.at(2.0, 0.0) == 8.0  # the edge goes on
    assert Table((0.0,), (0.0,), ((7.0,),)).at(3.0, 5.0) == 7.0
    assert Table((0.0, 1.0), (0.0,), ((1.0,), (3.0,))).at(0.5, 9.0) == 2.0
    assert Table((0.0,), (0.0, 1.0), ((1.0, 3.0),)).at(9.0, 0.5) == 2.0


def test_units_become_ours() -> None:
    library = tiny.library()
    assert library.voltage_v == tiny.VOLT  # the operating condition, not nom_voltage
    assert library.corner == "typical"
    pin = library["INV"].pins["A"]
    assert pin.edge_capacitance_ff == pytest.approx((1.0, 1.2))
    assert pin.capacitance_ff == pytest.approx(1.1)
    assert library["INV"].leakage_nw == pytest.approx(4.0)
    energy = library["INV"].pins["Y"].powers[0].energy
    assert energy[0] is not None
    assert energy[0].at(15.0, 3.0) == pytest.approx(0.1)
    assert library["INV"].pins["Y"].max_capacitance_ff == pytest.approx(10.0)


def test_the_same_cell_in_other_units() -> None:
    """fF and ps files give the same cell: the planes' numbers change with the unit, the cell does not."""
    text = 'library (l) { time_unit : "10ps"; capacitive_load_unit (2, ff); nom_voltage : 1; %s }'
    cell = (
        "cell (I) { area : 1; pin (A) { direction : input; capacitance : 0.5; } pin (Y) { direction : output; "
        'function : "!A"; timing () { related_pin : A; cell_rise (scalar) { values ("3.5"); } '
        'cell_fall (t) { values ("1, 2"); } } } }'
    )
    template = 'lu_table_template (t) { variable_1 : total_output_net_capacitance; index_1 ("1, 3"); }'
    found = parse_library(text % (template + cell))["I"]
    assert found.pins["A"].capacitance_ff == 1.0
    (arc,) = found.pins["Y"].arcs
    assert arc.sense == "negative_unate"  # derived: the file does not say
    assert arc.delay[1] == Table((0.0,), (0.0,), ((35.0,),))
    assert arc.delay[0] == Table((0.0,), (2.0, 6.0), ((10.0, 20.0),))


def test_axes_are_put_in_one_order() -> None:
    """The tiny library's setup template has the clock's slew first; ours has the data's first."""
    text = tiny.TEXT.replace(
        'values ("0.02, 0.02, 0.02", "0.02, 0.02, 0.02", "0.02, 0.02, 0.02")', 'values ("1,2,3", "4,5,6", "7,8,9")'
    )
    limit = tiny.library(text)["DFF"].pins["D"].constraints[0].limit[1]
    assert limit is not None
    assert limit.at(20.0, 10.0) == 2000.0  # data slew second in the file: row 0, column 1


def test_reference_cells() -> None:
    library = tiny.library()
    assert library.nand2.name == "NAND"
    assert library.flip_flops == ("DFF",)
    flip_flop = library["DFF"].flip_flop
    assert flip_flop is not None
    assert flip_flop.clock == "CK"
    assert len(library.sha256) == 64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("(A B)'", "A+B"),
            "has no 2-input NAND, so areas cannot be given in gate equivalents; give a library of logic",
        ),
        (
            ('clocked_on : "CK"', 'clocked_on : "!CK"'),
            "no usable flip-flop; DFF: it is not clocked by the rising edge of one pin. .*or cost a PE that has no reg",
        ),
        (('next_state : "D"; ', ""), "needs two state names, clocked_on and next_state"),
    ],
)
def test_libraries_that_lack_a_cell(change: tuple[str, str], message: str) -> None:
    library = tiny.library(tiny.TEXT.replace(*change))
    with pytest.raises(LibertyError, match=message):
        _ = library.nand2.name, library.flip_flops


def test_a_library_without_flip_flops() -> None:
    with pytest.raises(LibertyError, match=r"tiny has no usable flip-flop. Registers need a rising-edge D flip-flop"):
        _ = tiny.library(tiny.TEXT.replace(tiny.DFF, "")).flip_flops


def test_cells_that_cannot_be_used() -> None:
    library = tiny.library()
    with pytest.raises(
        LibertyError, match="cell LATCH of tiny: it is a latch; keep it out of the synthesis with dont_use"
    ):
        library.usable("LATCH")
    with pytest.raises(LibertyError, match=r"has no cell 'AOI'.*give the library that the netlist was mapped to"):
        library.usable("AOI")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((tiny.HEAD, "library (x) {"), "states no voltage"),
        (("(1, pf)", "(1, nf)"), r"capacitive_load_unit .* is not like \(1, pf\)"),
        (('"1ns"', '"fast"'), "time_unit 'fast' is not a number with a unit such as '1ns'"),
        (("area : 1.0", "area : big"), r"cell \(INV\), line \d+: area is 'big', not a number"),
        (
            ('index_2 ("0.001, 0.002, 0.005")', 'index_2 ("0.001, 0.002")'),
            r"line \d+: 9 values where the indices say 3 x 2",
        ),
        (
            ('index_1 ("0.01, 0.02, 0.05"); index_2 ("0.001', 'index_1 ("0.01, 0.01, 0.05"); index_2 ("0.001'),
            "index does not rise",
        ),
        (("total_output_net_capacitance", "normalized_voltage"), "only NLDM tables are"),
        (("direction : input", "direction : in"), "direction is in; it must be input, output"),
        (
            ('function : "!A"', 'function : "!A?"'),
            r"pin Y of cell \(INV\), line \d+: boolean function '!A\?': '\?' is not a name",
        ),
    ],
)
def test_broken_numbers_are_located(change: tuple[str, str], message: str) -> None:
    with pytest.raises(LibertyError, match=message):
        _ = tiny.library(tiny.TEXT.replace(*change))["INV"].pins["Y"].arcs[0].delay[0]
