"""Columns of cells in A1 notation. Pure, and imports nothing, for it is on the way of every question."""

from __future__ import annotations


def column_letters(index: int) -> str:
    """The letters of a column in A1 notation, from 1: `A`, `Z`, `AA`."""
    letters = ""
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def column_number(letters: str) -> int:
    """A column's number from 1, the inverse of `column_letters`."""
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number
