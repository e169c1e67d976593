"""Identities of positions and orders."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ids import (
    MAX_ORDER_LINK_ID_LENGTH,
    MAX_ORDER_NUMBER,
    OrderIdentity,
    OrderRole,
    manual_position_id,
    order_link_id,
    parse_order_link_id,
    position_id,
)
from domain.market import Category

CLOSE = datetime(2026, 3, 1, 4, tzinfo=UTC)

texts = st.text(max_size=12)
parts = st.tuples(
    texts,
    texts,
    st.sampled_from(Category),
    texts,
    texts,
    st.integers(-(10**15), 10**15).map(lambda us: CLOSE + timedelta(microseconds=us)),
)
numbers = st.integers(1, MAX_ORDER_NUMBER)


@given(parts, parts)
def test_two_positions_share_an_id_only_if_they_are_the_same_position(one, other):
    assert (position_id(*one) == position_id(*other)) == (one == other)


@given(st.lists(texts, min_size=2, max_size=2), st.text(min_size=1, max_size=3))
def test_moving_text_from_one_part_to_the_next_makes_another_position(names, moved):
    symbol, timeframe = names
    one = position_id("e", "s", Category.SPOT, symbol + moved, timeframe, CLOSE)
    other = position_id("e", "s", Category.SPOT, symbol, moved + timeframe, CLOSE)
    assert one != other


def test_the_same_instant_in_another_zone_is_the_same_position():
    tokyo = CLOSE.astimezone(timezone(timedelta(hours=9)))
    ids = {position_id("e", "momentum", Category.SPOT, "BTCUSDT", "4h", at) for at in (CLOSE, tokyo)}
    assert len(ids) == 1


def test_an_id_does_not_change_between_releases():
    # Open positions are found by these ids after an upgrade.
    assert position_id("paper-1", "momentum", Category.SPOT, "BTCUSDT", "4h", CLOSE) == "2vzpcbkblijogkeicxxv"
    assert manual_position_id("order-1") == "via2welclmjd7pgwecga"


def test_a_naive_candle_close_is_refused():
    with pytest.raises(ValueError, match="candle_close"):
        position_id("e", "s", Category.SPOT, "BTCUSDT", "4h", datetime(2026, 3, 1, 4))  # noqa: DTZ001


def test_an_empty_idempotency_key_is_refused():
    with pytest.raises(ValueError, match="idempotency_key"):
        manual_position_id("")


@given(st.text(min_size=1), st.sampled_from(OrderRole), numbers)
def test_an_order_link_id_tells_its_parts_and_fits_the_exchange(key, role, number):
    position = manual_position_id(key)
    link = order_link_id(position, role, number)
    assert len(link) <= MAX_ORDER_LINK_ID_LENGTH
    assert parse_order_link_id(link) == OrderIdentity(position, role, number)


def test_order_link_ids_read_as_the_design_writes_them():
    position = manual_position_id("k")
    assert [order_link_id(position, role) for role in OrderRole] == [
        f"{position}-E1",
        f"{position}-X1",
        f"{position}-S1",
    ]


@given(st.text(max_size=40))
def test_foreign_ids_are_not_taken_for_ours(text):
    identity = parse_order_link_id(text)
    assert identity is None or order_link_id(*identity) == text


@pytest.mark.parametrize("suffix", ["-E0", "-E01", "-Q1", "-e1", "E1", "-E", "-E1 ", "-E1\n", "-E123456", "-E\u0661"])
def test_near_misses_of_an_order_link_id_are_foreign(suffix):
    assert parse_order_link_id(manual_position_id("k") + suffix) is None


@pytest.mark.parametrize("number", [0, -1, MAX_ORDER_NUMBER + 1])
def test_an_order_number_out_of_range_is_refused(number):
    with pytest.raises(ValueError, match="number"):
        order_link_id(manual_position_id("k"), OrderRole.EXIT, number)


@pytest.mark.parametrize("bad", ["", "short", "A" * 20, "1" * 20, "a" * 21])
def test_a_malformed_position_id_is_refused(bad):
    with pytest.raises(ValueError, match="position_id"):
        order_link_id(bad, OrderRole.EXIT)
