"""Text as SQL Server's driver hands it over."""

from __future__ import annotations

import pytest

from afilsql.outbox.engine import text_of


@pytest.mark.parametrize("text", ["", "ñ €", "👋🏽 family 👨‍👩‍👧", "\ufeff\u2028", "x" * 5000])
def test_text_comes_out_as_it_went_in(text: str) -> None:
    assert text_of(text.encode("utf-16-le")) == text


def test_null_stays_null() -> None:
    assert text_of(None) is None


def test_half_a_surrogate_pair_becomes_the_replacement_character_and_the_rest_stays() -> None:
    cut = "Hi 👋".encode("utf-16-le")[:-2] + "!".encode("utf-16-le")
    assert text_of(cut) == "Hi \ufffd!"
