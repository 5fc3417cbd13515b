"""Boolean functions of liberty files against Python's own operators."""

from __future__ import annotations

from itertools import product

import pytest

from hwsim.rtl.boolean import Tree, names, parse


def value(tree: Tree, pins: dict[str, bool]) -> bool:
    if tree[0] == "pin":
        return pins[str(tree[1])]
    if tree[0] in "01":
        return tree[0] == "1"
    parts = [value(part, pins) for part in tree[1:] if isinstance(part, tuple)]
    return not parts[0] if tree[0] == "not" else {"and": all, "or": any}.get(tree[0], lambda p: p[0] != p[1])(parts)


@pytest.mark.parametrize(
    ("text", "python"),
    [
        ("A", "A"),
        ("!A", "not A"),
        ("A'", "not A"),
        ("A''", "A"),
        ("(A B)'", "not (A and B)"),
        ("A B+C", "(A and B) or C"),
        ("A * B | C", "(A and B) or C"),
        ("A + B C'", "A or (B and not C)"),
        ("A ^ B & C", "(A != B) and C"),  # exclusive or binds tighter than and
        ("A | B ^ C", "A or (B != C)"),
        ("!A ^ B", "(not A) != B"),
        ("A&!(B|!C)", "A and not (B or not C)"),
        ('"(!((A1 & A2) | B1))"', "not ((A and B) or C)"),
        ("A 1", "A"),
        ("0 | A", "A"),
        ("A^B^C", "(A != B) != C"),
    ],
)
def test_functions(text: str, python: str) -> None:
    tree = parse(text.replace("A1", "A").replace("A2", "B").replace("B1", "C"))
    for a, b, c in product((False, True), repeat=3):
        assert value(tree, {"A": a, "B": b, "C": c}) == eval(python, {"A": a, "B": b, "C": c})


def test_names() -> None:
    assert names(parse("(A1 & !IQ_N) | D[0] ^ 1")) == {"A1", "IQ_N", "D[0]"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A & ", "the end' where a name was expected"),
        ("(A | B", "a parenthesis is not closed"),
        ("A ) B", "where the function should end"),
        ("A ? B", r"' \? B' is not a name"),
        ("", "the end' where a name was expected"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(text)
