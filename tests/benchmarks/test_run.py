"""The benchmark command: names, and one JSON line a figure."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from benchmarks.registry import Figure, benchmark, discover, measure
from benchmarks.run import main
from benchmarks.timing import percentile


def test_every_benchmark_has_a_name_to_call_it_by(capsys):
    assert main(["--list"]) == 0
    assert capsys.readouterr().out.split() == list(discover())
    assert {"exit_kernel", "history_length", "ledger", "recovery", "tick_to_exit", "walk_bars"} <= set(discover())


def test_an_unknown_name_is_answered_with_the_known_ones(capsys):
    assert main(["exit_colonel"]) == 2
    error = capsys.readouterr().err
    assert "'exit_colonel'" in error
    assert "exit_kernel" in error


def test_two_benchmarks_can_not_share_a_name():
    discover()
    with pytest.raises(ValueError, match="'ledger'"):
        benchmark("ledger")(list)


def test_a_figure_is_one_line_with_its_reference_and_ratio():
    line = Figure("latency", 12.34567, "ms", "last release", 10.0, {"guards": 50}).to_json()
    assert "\n" not in line
    assert json.loads(line) == {
        "name": "latency",
        "value": 12.35,
        "unit": "ms",
        "reference": "last release",
        "reference_value": 10.0,
        "ratio": 1.235,
        "config": {"guards": 50},
    }
    assert json.loads(Figure("alone", 1.0, "ms").to_json())["ratio"] is None


def test_a_benchmark_may_be_plain_or_asynchronous():
    figure = Figure("one", 1.0, "ms")

    async def awaited() -> list[Figure]:
        return [figure]

    async def yielded() -> AsyncIterator[Figure]:
        yield figure

    for function in (lambda: [figure], awaited, yielded):
        assert list(measure(function)) == [figure]


@pytest.mark.bench
def test_the_ledger_books_and_is_measured(capsys):
    assert main(["ledger"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["value"] > 500


def test_a_percentile_is_one_of_the_values_measured():
    values = [float(number) for number in range(100, 0, -1)]
    assert percentile(values, 50) == 50
    assert percentile(values, 99) == 99
    assert percentile([7.0], 99) == 7
    assert percentile([1.0, 2.0, 3.0], 50) == 2
