"""Small pieces of sentences for messages and notes."""

from __future__ import annotations


def some(n: int, thing: str) -> str:
    """Return a number and what it counts, in the right form: ``"1 track"``, ``"2,300 tracks"``."""
    return f"{n:,} {thing}{'' if n == 1 else 's'}"


def quoted(text: str, length: int = 40) -> str:
    """Return the beginning of text from a file in quotes, on one line, fit for a terminal."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text[: 4 * length])
    plain = " ".join(plain.split())
    return f'"{plain if len(plain) <= length else plain[:length] + "…"}"'
