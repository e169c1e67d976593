"""The market's clock: scaled, durable, never backwards, refusing another market's data."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.paper.clock import LEASE_SECONDS, ClockRefused, MarketClockKeeper

START = datetime(2024, 3, 1, tzinfo=UTC)


class Elapsing:
    """A machine's monotonic clock, moved by hand."""

    def __init__(self) -> None:
        self.ns = 12_345

    def __call__(self) -> int:
        return self.ns

    def seconds(self, count: float) -> None:
        self.ns += int(count * 1e9)


@pytest.fixture
def elapsing() -> Elapsing:
    return Elapsing()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "clock.json"


def keeper(
    path: Path, elapsing: Elapsing, *, speed: float = 60.0, epoch: str = "m-1", until: datetime | None = None
) -> MarketClockKeeper:
    return MarketClockKeeper(path, epoch=epoch, start=START, speed=speed, until=until, monotonic_ns=elapsing)


def test_market_time_runs_speed_times_as_fast_as_the_wall(path: Path, elapsing: Elapsing) -> None:
    clock = keeper(path, elapsing, speed=60)
    assert clock.now() == START
    elapsing.seconds(2.5)
    assert clock.now() == START + timedelta(seconds=150)
    clock.set_speed(0.5)
    elapsing.seconds(10)
    assert clock.now() == START + timedelta(seconds=155)


def test_a_reading_carries_epoch_speed_and_wall_time(path: Path, elapsing: Elapsing) -> None:
    reading = keeper(path, elapsing, speed=3.0).read()
    assert (reading.epoch, reading.now, reading.speed) == ("m-1", START, 3.0)
    assert abs(reading.read_at - datetime.now(UTC)) < timedelta(seconds=30)


def test_a_clean_stop_goes_on_exactly_where_it_stood(path: Path, elapsing: Elapsing) -> None:
    clock = keeper(path, elapsing)
    elapsing.seconds(7)
    clock.close()
    stopped = clock.now()
    elapsing.seconds(3600)  # the exchange is down
    assert clock.now() == stopped
    assert keeper(path, elapsing).now() == stopped == START + timedelta(seconds=420)


@settings(deadline=None)  # it writes files
@given(st.lists(st.tuples(st.floats(0, 30), st.booleans()), max_size=20), st.floats(0.1, 50_000))
def test_a_killed_clock_never_rewinds_and_jumps_by_the_lease_at_most(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[float, bool]], speed: float
) -> None:
    path, elapsing = tmp_path_factory.mktemp("clock") / "clock.json", Elapsing()
    clock = keeper(path, elapsing, speed=speed)
    told = clock.now()
    for seconds, killed in steps:
        elapsing.seconds(seconds)
        before, told = told, clock.now()
        assert told >= before
        if killed:
            clock = keeper(path, elapsing, speed=speed)
            before, told = told, clock.now()
            assert before <= told <= before + timedelta(seconds=LEASE_SECONDS * speed, microseconds=2)


def test_it_halts_at_until_and_runs_on_when_that_moves(path: Path, elapsing: Elapsing) -> None:
    end = START + timedelta(minutes=1)
    clock = keeper(path, elapsing, until=end)
    assert not clock.paused
    elapsing.seconds(100)
    assert clock.now() == end
    assert clock.paused
    clock.halt_at(end + timedelta(minutes=5))
    assert clock.now() == end
    elapsing.seconds(1)
    assert clock.now() == end + timedelta(minutes=1)
    clock.halt_at(None)
    elapsing.seconds(60)
    assert clock.now() == end + timedelta(minutes=61)
    with pytest.raises(ValueError, match=r"until: .* has passed"):
        clock.halt_at(START)


def test_a_kill_at_the_end_of_the_market_does_not_pass_it(path: Path, elapsing: Elapsing) -> None:
    end = START + timedelta(seconds=30)
    assert keeper(path, elapsing, until=end).now() == START
    assert keeper(path, elapsing, until=end).now() == end


def test_another_markets_data_is_refused_in_one_sentence(path: Path, elapsing: Elapsing) -> None:
    keeper(path, elapsing).close()
    with pytest.raises(ClockRefused, match=r"holds the market m-1 \(at 2024-03-01 00:00\), not m-2: use another data"):
        keeper(path, elapsing, epoch="m-2")


@pytest.mark.parametrize("content", ["", "{", '{"epoch": "m-1"}', "[]", '{"epoch": "m-1", "lease_us": "soon"}'])
def test_a_damaged_file_is_refused_not_reset(path: Path, elapsing: Elapsing, content: str) -> None:
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(ClockRefused, match="is not a market clock"):
        keeper(path, elapsing)
    assert path.read_text() == content


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan")])
def test_a_speed_that_does_not_move_the_market_forward_is_refused(path: Path, elapsing: Elapsing, speed: float) -> None:
    with pytest.raises(ValueError, match="speed"):
        keeper(path, elapsing, speed=speed)
