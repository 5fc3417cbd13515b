"""The syntax: what is read, and where a broken file is said to be broken."""

import gzip
import hashlib

import pytest

from hwsim.liberty.parse import LibertyError, arguments, numbers, parse, read_text

SMALL = """/* a comment
over lines */
library (demo) {
  // one more
  time_unit : "1ns" ;
  capacitive_load_unit (1, pf) ;
  define(own,cell,string);
  nom_voltage : 1.1
  cell ("AND /* no comment */") { area : 2.5 ; pin (A, B) { direction : input } }
  cell (T) { table (x) { values ("1, 2", \\
      "3, 4"); } }
}
"""


def test_statements_of_every_kind() -> None:
    library = parse(SMALL)
    assert library.kind == "library"
    assert library.arguments == ("demo",)
    assert library.line == 3
    assert library.simple == {"time_unit": "1ns", "nom_voltage": "1.1"}
    assert arguments(library.complex["capacitive_load_unit"][0]) == ("1", "pf")
    first, second = library.of("cell")
    assert first.arguments == ("AND /* no comment */",)
    assert first.simple == {"area": "2.5"}
    assert first.groups[0].arguments == ("A", "B")
    assert first.groups[0].simple == {"direction": "input"}
    assert second.title == "cell (T), line 10"
    assert numbers(second.groups[0].complex["values"][0]) == [1, 2, 3, 4]


@pytest.mark.parametrize("raw", ['"IQ", "IQN"', "IQ,IQN", '"IQ,IQN"', ' "IQ" "IQN" ', "IQ IQN"])
def test_arguments_are_written_in_many_ways(raw: str) -> None:
    assert arguments(raw) == ("IQ", "IQN")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("library (a) {\n cell (b) {\n }\n", r"ends inside library \(a\), line 1; a closing brace is missing"),
        ("library (a) {\n}\n}\n", r"line 3: a } with no open group"),
        ("library (a) {\n\n  area = 3;\n}", r"line 3: no attribute, group or closing brace at 'area = 3;'"),
        ('library (a) {\n\n  when : "A;\n}', "line 3"),
        ("library (a) {\n /* open\n}\n", r"line 2: a comment is never closed"),
        ("area : 3;", r"line 1: 'area' outside of a library group; a Liberty file is one `library \(name\) { ... }`"),
        ("cell (a) { }", r"holds cell; a Liberty file holds one library group"),
        ("", "holds nothing"),
        ("not a library at all", r"line 1: no attribute"),
    ],
)
def test_broken_text_is_located(text: str, message: str) -> None:
    with pytest.raises(LibertyError, match=message):
        parse(text, "x.lib")


def test_plain_and_gzip_files_are_one(tmp_path) -> None:
    plain, packed = tmp_path / "a.lib", tmp_path / "b.lib.gz"
    plain.write_text(SMALL)
    packed.write_bytes(gzip.compress(SMALL.encode()))
    assert read_text(plain) == read_text(packed)
    assert read_text(plain)[1] == hashlib.sha256(SMALL.encode()).hexdigest()


def test_files_that_cannot_be_read_say_what_to_do(tmp_path) -> None:
    with pytest.raises(LibertyError, match=r"no Liberty file at .*none.lib; give the path of a .lib"):
        read_text(tmp_path / "none.lib")
    cut = tmp_path / "cut.lib.gz"
    cut.write_bytes(gzip.compress(SMALL.encode() * 99)[:-20])
    with pytest.raises(LibertyError, match=r"cannot be read .*fetch it again"):
        read_text(cut)
    binary = tmp_path / "x.lib"
    binary.write_bytes(b"\x7fELF\0\0")
    with pytest.raises(LibertyError, match="is a binary file"):
        read_text(binary)
