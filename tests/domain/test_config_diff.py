"""What differs between two versions of a configuration."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from domain.config_diff import Difference, differences, flat

names = st.text("abc", min_size=1, max_size=3)
values = st.none() | st.booleans() | st.integers(0, 3) | st.lists(st.integers(0, 2), max_size=2)
rows = st.dictionaries(names, values | st.dictionaries(names, values, max_size=3), max_size=5)


def test_parts_of_documents_are_fields_of_their_own_and_what_every_change_changes_is_none():
    before = {"trade_usd": "10", "exit_policy": {"stop_loss_pct": "3"}, "version": 1, "updated_at": "then"}
    after = {"trade_usd": "10", "exit_policy": {"stop_loss_pct": "2", "max_hold_seconds": 9}, "version": 2}
    assert differences(before, after) == [
        Difference("exit_policy.max_hold_seconds", None, 9),
        Difference("exit_policy.stop_loss_pct", "3", "2"),
    ]


@given(rows)
def test_a_row_does_not_differ_from_itself(row):
    assert differences(row, row) == []


@given(rows, rows)
def test_differences_are_by_name_and_the_way_back_is_the_way_there_turned_round(before, after):
    there, back = differences(before, after), differences(after, before)
    assert [each.field for each in there] == sorted({each.field for each in there})
    assert [(each.field, each.now, each.was) for each in there] == [(each.field, each.was, each.now) for each in back]


@given(rows, rows)
def test_the_differences_make_the_one_row_out_of_the_other(before, after):
    made = flat(before) | {each.field: each.now for each in differences(before, after)}
    told = {field: value for field, value in made.items() if value is not None}
    assert told == {field: value for field, value in flat(after).items() if value is not None}
