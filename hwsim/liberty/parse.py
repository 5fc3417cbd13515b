"""The Liberty syntax: text -> a tree of groups and attributes, nothing understood yet.

read_text(path) -> text and its sha256; parse(text) -> the library group.
Source of the grammar: the Liberty User Guides and Reference Manual (group, simple and complex attribute statements).
"""

from __future__ import annotations

import gzip
import hashlib
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_STRING_OR_COMMENT = re.compile(r'"[^"]*"|/\*.*?(?:\*/|\Z)|//[^\n]*', re.S)

# One statement. Arguments are taken whole: a table's numbers are split when somebody asks for the table.
_STATEMENT = re.compile(
    r"""[\s;\\]*(?:
        (?P<end>\})
      | (?P<name>[A-Za-z_]\w*)\s*(?:
            :\s*(?P<value>"[^"]*"|[^;\n{}"]*)\s*(?:;|(?=\n)|(?=\}))
          | \((?P<arguments>(?:"[^"]*"|[^()"]*|\([^()]*\))*)\)\s*(?P<opens>\{)?
        )
    )""",
    re.X,
)
_BLANK = re.compile(r"[\s;\\]*")
_ARGUMENT = re.compile(r'"([^"]*)"|([^\s,"\\]+)')


@dataclass(slots=True)
class Group:
    """`kind (arguments) { ... }`.

    line: where it starts, 1-based.  simple: attribute name -> value without its quotes (the last of a name counts).
    complex: attribute name -> the raw text between the parentheses, one entry a statement.
    """

    kind: str
    arguments: tuple[str, ...]
    line: int
    simple: dict[str, str] = field(default_factory=dict)
    complex: dict[str, list[str]] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)

    def of(self, *kinds: str) -> Iterator[Group]:
        """The groups directly inside, of these kinds, in the file's order."""
        return (group for group in self.groups if group.kind in kinds)

    @property
    def title(self) -> str:
        """How messages name it: `cell (NAND2_X1), line 1234`."""
        return f"{self.kind} ({', '.join(self.arguments)}), line {self.line}"


class LibertyError(ValueError):
    """A Liberty file that cannot be read or used; the message says where and what would help."""


def read_text(path: str | Path) -> tuple[str, str]:
    """The text of a plain or gzip file and the sha256 (hexadecimal) of its decompressed bytes.

    The content decides whether it is gzip, not the name. Raises LibertyError for a file that is not there, is cut off,
    or is no text.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except FileNotFoundError:
        raise LibertyError(f"no Liberty file at {path}; give the path of a .lib or .lib.gz file") from None
    except (OSError, EOFError) as error:
        raise LibertyError(f"{path} cannot be read ({error}); fetch it again, or give the decompressed .lib") from None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")  # comments in old libraries
    if "\0" in text:
        raise LibertyError(f"{path} is a binary file; give a Liberty text file, plain or gzip")
    return text, hashlib.sha256(data).hexdigest()


def arguments(raw: str) -> tuple[str, ...]:
    """The arguments of a complex attribute or group head, unquoted: `"IQ", "IQN"`, `IQ,IQN` and `"IQ,IQN"` are one."""
    parts = [part.strip() for quoted, word in _ARGUMENT.findall(raw) for part in (quoted or word).split(",")]
    return tuple(part for part in parts if part)


def numbers(raw: str) -> list[float]:
    """All numbers of a complex attribute, in order, quotes and row structure ignored. ValueError for what is none."""
    return [float(word) for word in raw.replace('"', " ").replace("\\", " ").replace(",", " ").split()]


def parse(text: str, source: str = "the text") -> Group:
    """The library group of a Liberty text. source: how messages name the file.

    Raises LibertyError with the line for text that is no statement, braces that do not pair, an open string or comment,
    and anything but one library group at the top.
    """
    clean = _without_comments(text, source)
    newlines = [match.start() for match in re.finditer("\n", clean)]

    def line(position: int) -> int:
        return bisect_right(newlines, position) + 1

    root = Group("", (), 0)
    stack = [root]
    position, size = 0, len(clean)
    match_statement = _STATEMENT.match
    while position < size:
        match = match_statement(clean, position)
        if match is None:
            blank = _BLANK.match(clean, position)
            position = blank.end() if blank else position
            if position == size:
                break
            raise _syntax_error(clean, position, line(position), source)
        here = stack[-1]
        name = match["name"]
        if name is None:
            if here is root:
                raise LibertyError(f"{source}, line {line(match.start('end'))}: a }} with no open group")
            stack.pop()
        elif here is root and match["opens"] is None:
            raise LibertyError(
                f"{source}, line {line(match.start('name'))}: {name!r} outside of a library group; "
                "a Liberty file is one `library (name) {{ ... }}`".replace("{{", "{").replace("}}", "}")
            )
        elif match["value"] is not None:
            here.simple[name] = match["value"].strip().strip('"').strip()
        elif match["opens"] is None:
            here.complex.setdefault(name, []).append(match["arguments"])
        else:
            group = Group(name, arguments(match["arguments"]), line(match.start("name")))
            here.groups.append(group)
            stack.append(group)
        position = match.end()
    if len(stack) > 1:
        raise LibertyError(
            f"{source}: the file ends inside {stack[-1].title}; a closing brace is missing, or the file is cut off"
        )
    if [group.kind for group in root.groups] != ["library"]:
        found = ", ".join(group.kind for group in root.groups) or "nothing"
        raise LibertyError(f"{source} holds {found}; a Liberty file holds one library group")
    return root.groups[0]


def _without_comments(text: str, source: str) -> str:
    """The text with comments blanked, lines kept."""

    def blank(match: re.Match[str]) -> str:
        found = match[0]
        if found[0] == '"':
            return found
        if found[1] == "*" and (len(found) < 4 or not found.endswith("*/")):
            raise LibertyError(f"{source}, line {text.count(chr(10), 0, match.start()) + 1}: a comment is never closed")
        return " " + "\n" * found.count("\n")

    return _STRING_OR_COMMENT.sub(blank, text)


def _syntax_error(text: str, position: int, line: int, source: str) -> LibertyError:
    rest = text[position : text.find("\n", position) if "\n" in text[position:] else len(text)]
    reason = "an open string" if rest.count('"') % 2 else "no attribute, group or closing brace"
    return LibertyError(f"{source}, line {line}: {reason} at {rest.strip()[:60]!r}")
