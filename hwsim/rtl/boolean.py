"""Boolean functions as liberty files write them: text to tree.

    ! a    a'    not            highest
    a ^ b        exclusive or
    a * b   a & b   a b   and
    a + b   a | b         or    lowest

The order of precedence is the liberty manual's: inversion, exclusive or, and, or. 0 and 1 are constants.
"""

from __future__ import annotations

import re
from functools import lru_cache

# A tree is ("0",), ("1",), ("pin", name), ("not", tree), ("and" | "or" | "xor", tree, tree).
Tree = tuple[str, ...] | tuple[str, "Tree"] | tuple[str, "Tree", "Tree"]

_TOKEN = re.compile(r"\s*([A-Za-z_][\w.\[\]]*|[01]|[!'&*|+^()])")


@lru_cache(maxsize=4096)
def parse(text: str) -> Tree:
    """The tree of a function. Raises ValueError with the text and the place that does not fit."""
    tokens: list[str] = []
    body, at = text.strip().strip('"').strip(), 0
    while at < len(body):
        match = _TOKEN.match(body, at)
        if match is None:
            raise ValueError(
                f"boolean function {text!r}: {body[at:]!r} is not a name, 0, 1 or one of ! ' & * | + ^ ( )"
            )
        tokens.append(match.group(1))
        at = match.end()
    parser = _Parser(text, tokens)
    tree = parser.either()
    if parser.tokens:
        raise ValueError(f"boolean function {text!r}: {parser.tokens[-1]!r} where the function should end")
    return tree


def names(tree: Tree) -> frozenset[str]:
    """The names a tree reads."""
    if tree[0] == "pin":
        return frozenset([str(tree[1])])
    return frozenset().union(*(names(part) for part in tree[1:] if isinstance(part, tuple)))


class _Parser:
    """Recursive descent; tokens are kept reversed, the next one last."""

    def __init__(self, text: str, tokens: list[str]) -> None:
        self.text = text
        self.tokens = tokens[::-1]

    def peek(self) -> str:
        return self.tokens[-1] if self.tokens else ""

    def either(self) -> Tree:
        tree = self.both()
        while self.peek() and self.peek() in "|+":
            self.tokens.pop()
            tree = ("or", tree, self.both())
        return tree

    def both(self) -> Tree:
        tree = self.differ()
        while self.peek() and (self.peek() in "&*!(01" or _is_name(self.peek())):  # two terms side by side are an and
            if self.peek() in "&*":
                self.tokens.pop()
            tree = ("and", tree, self.differ())
        return tree

    def differ(self) -> Tree:
        tree = self.term()
        while self.peek() == "^":
            self.tokens.pop()
            tree = ("xor", tree, self.term())
        return tree

    def term(self) -> Tree:
        token = self.tokens.pop() if self.tokens else ""
        if token == "!":
            return ("not", self.term())
        if token == "(":
            tree = self.either()
            if self.peek() != ")":
                raise ValueError(f"boolean function {self.text!r}: a parenthesis is not closed")
            self.tokens.pop()
        elif token in ("0", "1"):
            tree = (token,)
        elif token and _is_name(token):
            tree = ("pin", token)
        else:
            raise ValueError(f"boolean function {self.text!r}: {token or 'the end'!r} where a name was expected")
        while self.peek() == "'":
            self.tokens.pop()
            tree = ("not", tree)
        return tree


def _is_name(token: str) -> bool:
    return token[0].isalpha() or token[0] == "_"
