"""Token buckets let a burst through and then one at a time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from api.buckets import Buckets


def test_a_burst_passes_and_the_next_waits_for_a_token() -> None:
    buckets = Buckets(per_second=2, burst=3)
    assert [buckets.wait("a", 0.0) for _ in range(4)] == [0, 0, 0, 0.5]
    assert buckets.wait("b", 0.0) == 0
    assert buckets.wait("a", 0.5) == 0


@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=200))
def test_never_more_than_burst_and_rate_allow(gaps: list[float]) -> None:
    buckets = Buckets(per_second=5, burst=10)
    now, passed = 0.0, 0
    for gap in gaps:
        now += gap
        passed += buckets.wait("caller", now) == 0
    assert passed <= 10 + 5 * now + 1e-6


def test_many_names_do_not_fill_the_memory() -> None:
    buckets = Buckets(per_second=1, burst=1, capacity=10)
    for number in range(100):
        buckets.wait(str(number), 0.0)
    assert len(buckets._levels) == 10
