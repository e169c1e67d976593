"""Digests of a decision's inputs: the same for the same numbers anywhere, another one for any other number."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from domain.candle import Timeframe
from domain.digests import MARKET, digest, panel_digests, unknown_in
from domain.regime import NO_REGIME
from domain.strategies.contract import Panel

NUMBERS = arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 12)), elements=st.floats(width=64))


def panel(**parts: np.ndarray) -> Panel:
    """Two symbols and three bars of whole numbers."""
    values = np.arange(6, dtype=np.float64).reshape(2, 3)
    columns = {name: values + place for place, name in enumerate(("open", "high", "low", "close", "volume"))}
    opens = np.arange(3, dtype=np.int64) * Timeframe.H4.milliseconds
    return Panel(Timeframe.H4, ("AUSDT", "BUSDT"), opens, **columns, **parts)


def test_a_digest_is_sixteen_digits_and_known_for_ever() -> None:
    assert digest(np.array([1.0, 2.0, 3.0])) == "07722a2eca868e93"
    assert digest(np.array([1.0, np.nan])).endswith("?1")


def test_another_process_digests_the_same() -> None:
    code = "import numpy as np; from domain.digests import digest; print(digest(np.array([0.1, np.nan, -1e300])))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout.strip() == digest(np.array([0.1, np.nan, -1e300]))


@given(NUMBERS)
def test_a_copy_a_view_and_another_byte_order_digest_the_same(values: np.ndarray) -> None:
    assert digest(values.copy()) == digest(values)
    assert digest(np.asfortranarray(values)) == digest(values)
    assert digest(values.astype(">f8")) == digest(values)
    assert digest(np.repeat(values, 2, axis=1)[:, ::2]) == digest(values)


@given(NUMBERS)
def test_zero_has_no_sign_and_every_nan_is_the_same(values: np.ndarray) -> None:
    odd = np.frombuffer(np.array([0x7FF8DEADBEEF0001], dtype=np.uint64).tobytes(), dtype=np.float64)[0]
    other = np.where(values == 0, -values, values)
    other[np.isnan(other)] = odd
    assert digest(other) == digest(values)


@given(NUMBERS, st.data(), st.floats(width=64))
def test_any_other_number_is_another_digest(values: np.ndarray, data: st.DataObject, number: float) -> None:
    place = data.draw(st.integers(0, values.size - 1))
    changed = values.copy()
    changed.flat[place] = number
    same = np.array_equal(changed, values, equal_nan=True)
    assert (digest(changed) == digest(values)) is same


@given(NUMBERS)
def test_what_was_not_known_is_counted(values: np.ndarray) -> None:
    assert unknown_in(digest(values)) == np.isnan(values).sum()


@pytest.mark.parametrize("column", ["open", "high", "low", "close", "volume"])
def test_a_changed_candle_changes_its_own_symbol_and_no_other(column: str) -> None:
    before = panel()
    changed = getattr(before, column).copy()
    changed[1, 0] += 1e-9
    then, now = panel_digests(before), panel_digests(replace(before, **{column: changed}))
    assert then["AUSDT"] == now["AUSDT"]
    assert then["BUSDT"]["candles"] != now["BUSDT"]["candles"]


def test_each_part_has_a_digest_of_its_own_and_what_nobody_asked_for_has_none() -> None:
    rate, interest = np.full((2, 3), 1e-4), np.full((2, 3), 7.0)
    then = panel_digests(panel(funding_rate=rate, open_interest=interest))
    asked = ["candles", "funding_rate", "open_interest"]
    assert {symbol: sorted(parts) for symbol, parts in then.items()} == {"AUSDT": asked, "BUSDT": asked}
    changed = rate.copy()
    changed[0, 2] = 2e-4
    now = panel_digests(panel(funding_rate=changed, open_interest=interest))
    assert {part for part in then["AUSDT"] if then["AUSDT"][part] != now["AUSDT"][part]} == {"funding_rate"}
    assert now["BUSDT"] == then["BUSDT"]


def test_the_regime_is_the_market_s_and_an_unknown_one_is_counted() -> None:
    levels = np.array([NO_REGIME, 0, 2], dtype=np.int8)
    told = panel_digests(panel(regime=levels))
    assert list(told[MARKET]) == ["regime"]
    assert unknown_in(told[MARKET]["regime"]) == 1
    assert panel_digests(panel(regime=levels[::-1]))[MARKET] != told[MARKET]
