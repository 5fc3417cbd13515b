"""BERT's uncased WordPiece tokenizer, from vocab.txt alone.

Steps, as in Devlin et al.'s BERT code: drop control characters, lower-case, strip accents, split at white space and
punctuation (each CJK ideograph alone), then match each word greedily with the longest known pieces. A test compares
it with the `tokenizers` package on every text of the corpus. Unlike there, "[CLS]" and the like in a text are no
special tokens but punctuation and a word.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MAXIMUM_WORD = 100  # characters; longer words are [UNK], as in BERT
# CJK ideograph blocks that BERT splits into single characters
IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


@dataclass(frozen=True, slots=True, eq=False)
class WordPiece:
    """Token ids by piece; `##` marks a piece that continues a word."""

    ids: dict[str, int] = field(repr=False)

    @classmethod
    def read(cls, vocabulary: Path) -> "WordPiece":
        """From a vocab.txt, one piece a line, the line number being the id."""
        pieces = vocabulary.read_text(encoding="utf-8").split("\n")
        return cls({piece: index for index, piece in enumerate(pieces) if piece})

    def encode(self, text: str, length: int) -> list[int]:
        """[CLS] pieces [SEP], cut to at most `length` ids."""
        if length < 2:
            raise ValueError(f"encode: length {length} leaves no room for [CLS] and [SEP]; use at least 2")
        pieces = [piece for word in split_words(text) for piece in self._pieces(word)]
        names = ["[CLS]", *pieces[: length - 2], "[SEP]"]
        return [self.ids[name] for name in names]

    def batch(self, texts: Sequence[str], length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """ids and attention mask (1 where a token is), both int64 [texts, length], padded with [PAD]."""
        ids = np.full((len(texts), length), self.ids["[PAD]"], dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, text in enumerate(texts):
            encoded = self.encode(text, length)
            ids[row, : len(encoded)] = encoded
            mask[row, : len(encoded)] = 1
        return ids, mask

    def _pieces(self, word: str) -> list[str]:
        pieces: list[str] = []
        start = 0
        while start < len(word) <= MAXIMUM_WORD:
            prefix = "##" if start else ""
            ends = (end for end in range(len(word), start, -1) if prefix + word[start:end] in self.ids)
            end = next(ends, start)
            if end == start:
                return ["[UNK]"]
            pieces.append(prefix + word[start:end])
            start = end
        return pieces or ["[UNK]"]


def split_words(text: str) -> Iterator[str]:
    """Lower-case words and single punctuation marks of the text, in order."""
    spaced = "".join(_space_out(character) for character in text)
    plain = "".join(c for c in unicodedata.normalize("NFD", spaced) if unicodedata.category(c) != "Mn").lower()
    for chunk in plain.split():
        word = ""
        for character in chunk:
            if _is_punctuation(character):
                if word:
                    yield word
                yield character
                word = ""
            else:
                word += character
        if word:
            yield word


def _space_out(character: str) -> str:
    code = ord(character)
    if character in "\t\n\r" or unicodedata.category(character) == "Zs":
        return " "
    # categories C*: control, format, surrogate, private use, unassigned
    if code in (0, 0xFFFD) or unicodedata.category(character).startswith("C"):
        return ""
    return f" {character} " if any(low <= code <= high for low, high in IDEOGRAPHS) else character


def _is_punctuation(character: str) -> bool:
    code = ord(character)
    # BERT counts all non-alphanumeric ASCII ($, +, ~ too) as punctuation
    ascii_mark = 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    return ascii_mark or unicodedata.category(character).startswith("P")
