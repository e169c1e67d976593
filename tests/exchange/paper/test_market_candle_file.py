"""A candle file is refused in one sentence that names the file, the row and the rule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from domain.candle import Timeframe, to_ms
from exchange.paper.feeds.candle_file import CandleFileRefused, read_candle_file
from tests.exchange.paper.market_case import BEGIN, candle_frame


def written(folder: Path, frame: pd.DataFrame, name: str = "BTCUSDT_15m.csv") -> Path:
    path = folder / name
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    return path


@pytest.mark.parametrize("name", ["BTCUSDT_15m.csv", "BTCUSDT_15m.parquet"])
def test_a_sound_file_is_read_whole(tmp_path: Path, name: str) -> None:
    frame = candle_frame(40)
    file = read_candle_file(written(tmp_path, frame, name))
    assert (file.symbol, file.timeframe, len(file.series)) == ("BTCUSDT", Timeframe.M15, 40)
    assert file.series.open_time[0] == to_ms(BEGIN)
    for column in ("open", "high", "low", "close", "volume"):
        assert np.array_equal(getattr(file.series, column), frame[column].to_numpy())


def test_symbol_and_timeframe_come_from_the_name_where_the_columns_are_absent(tmp_path: Path) -> None:
    frame = candle_frame(10).drop(columns=["symbol", "timeframe"])
    file = read_candle_file(written(tmp_path, frame, "ETHUSDT_15m.csv"))
    assert (file.symbol, file.timeframe) == ("ETHUSDT", Timeframe.M15)


def test_open_times_may_be_milliseconds(tmp_path: Path) -> None:
    frame = candle_frame(10)
    frame["open_time"] = [to_ms(at) for at in frame["open_time"]]
    assert read_candle_file(written(tmp_path, frame)).series.open_time[0] == to_ms(BEGIN)


def at_row(column: str, row: int, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        changed = frame.astype({column: object})
        changed.loc[row - 1, column] = value
        return changed

    return change


DEFECTS: dict[str, tuple[Callable[[pd.DataFrame], Any], int, str]] = {
    "gap": (lambda frame: frame.drop(index=20), 21, "gap"),
    "duplicate": (lambda frame: pd.concat([frame[:8], frame[7:]]), 9, "duplicate"),
    "step back": (lambda frame: frame.iloc[[1, 0, *range(2, 40)]], 2, "out of order"),
    "high under close": (at_row("high", 5, 1.0), 5, "high is below"),
    "low over open": (at_row("low", 6, 9e9), 6, "low is above"),
    "no price": (at_row("close", 7, None), 7, "close is not a finite number"),
    "words for a price": (at_row("open", 8, "about forty"), 8, "open is not a finite number"),
    "negative volume": (at_row("volume", 9, -0.5), 9, "volume is negative"),
    "move without volume": (at_row("volume", 10, 0), 10, "moves with no volume"),
    "price of nothing": (at_row("low", 11, 0), 11, "above 0"),
    "not a time": (at_row("open_time", 12, "yesterday"), 12, "is not a time"),
    "two symbols": (at_row("symbol", 13, "ETHUSDT"), 13, "one symbol a file"),
    "two timeframes": (at_row("timeframe", 14, "1h"), 14, "one timeframe a file"),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_each_defect_is_refused_with_its_row(tmp_path: Path, name: str) -> None:
    change, row, rule = DEFECTS[name]
    path = written(tmp_path, pd.DataFrame(change(candle_frame(40))))
    with pytest.raises(CandleFileRefused) as told:
        read_candle_file(path)
    assert told.value.row == row
    message = str(told.value)
    assert message.startswith(f"{path}: data row {row} (counted from 1, without the header):")
    assert rule in message
    assert "\n" not in message


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(CandleFileRefused, match="missing column close, volume"):
        read_candle_file(written(tmp_path, candle_frame(5).drop(columns=["volume", "close"])))


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CandleFileRefused, match="no data rows"):
        read_candle_file(written(tmp_path, candle_frame(5).head(0)))


def test_a_file_that_is_not_parquet_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT_15m.parquet"
    path.write_bytes(b"not a table\n" * 20)
    with pytest.raises(CandleFileRefused, match="unreadable") as told:
        read_candle_file(path)
    assert "\n" not in str(told.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CandleFileRefused, match=r"BTCUSDT_15m\.csv: no such file"):
        read_candle_file(tmp_path / "BTCUSDT_15m.csv")


def test_an_unknown_timeframe_is_refused(tmp_path: Path) -> None:
    frame = candle_frame(5).assign(timeframe="7m")
    with pytest.raises(CandleFileRefused, match="timeframe 7m is not one of 1m, 15m, 1h, 4h, 1d, 1w"):
        read_candle_file(written(tmp_path, frame))
