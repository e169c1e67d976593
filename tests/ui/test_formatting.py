"""Numbers read as a person expects, whatever their size."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ui.formatting import age_text, gain_color, money_text, percent_text, price_text, quantity_text

MINUS = "\N{MINUS SIGN}"
amounts = st.decimals(min_value="-1e12", max_value="1e12", allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("price", "text"),
    [
        ("61234.56789", "61,234.57"),
        ("3011.2", "3,011.20"),
        ("1.5", "1.50"),
        ("0.08123", "0.08123"),
        ("0.00001234", "0.00001234"),
        ("1E-8", "0.00000001"),
        ("0", "0.00"),
    ],
)
def test_a_price_shows_six_significant_digits_and_no_exponent(price: str, text: str) -> None:
    assert price_text(Decimal(price)) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("750", "+750.00"),
        ("-10.559", f"{MINUS}10.56"),
        ("0", "0.00"),
        ("0.0034", "+0.0034"),
        ("-1234567.8", f"{MINUS}1,234,567.80"),
    ],
)
def test_a_gain_shows_its_sign(amount: str, text: str) -> None:
    assert money_text(Decimal(amount), signed=True) == text


@given(amounts)
def test_nothing_but_nothing_reads_as_nothing_and_signs_are_right(amount: Decimal) -> None:
    text = money_text(amount, signed=True)
    assert "E" not in text
    assert text.startswith(MINUS) <= (amount < 0)
    assert text.startswith("+") <= (amount > 0)


def test_quantities_are_told_in_full() -> None:
    assert quantity_text(Decimal("0.500029998000")) == "0.500029998"
    assert quantity_text(Decimal("12000")) == "12,000"
    assert quantity_text(Decimal("1E+3")) == "1,000"


def test_what_is_unknown_is_a_dash() -> None:
    assert price_text(None) == money_text(None) == percent_text(None) == quantity_text(None) == age_text(None)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.42, "0.4 s"), (12.9, "12 s"), (185, "3 min"), (7500, "2 h 5 min"), (273_600, "3 d 4 h")],
)
def test_ages_are_told_in_their_largest_units(seconds: float, text: str) -> None:
    assert age_text(seconds) == text


def test_gains_are_green_and_losses_red() -> None:
    assert [gain_color(Decimal(n)) for n in (1, -1, 0)] == ["green", "red", "gray"]
    assert percent_text(Decimal("-1.08")) == f"{MINUS}1.08 %"
