"""Make the candle files of six weeks of 2025: `python .../six_weeks.py DATA FOLDER` writes the arguments of `ats demo`.

DATA holds recorded markets (parquet). Of every symbol whose candles are finer than a day the finest that reach to the
end of June 2025 are taken, Bybit's own before another venue's; open interest and the long/short ratio, where they are
known (four symbols, every 4 h), are put on the candles that open at their stamps. Symbols of which days alone are known
are named and left out: their hours would be made up.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

START, END = pd.Timestamp("2025-05-19", tz="UTC"), pd.Timestamp("2025-06-30", tz="UTC")
FINEST = ("15m", "1h", "4h")
VENUES = ("ohlcv", "ohlcv_binance_um")


def main(data: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    symbols = sorted({path.name.split("_")[0] for venue in VENUES for path in (data / venue).glob("*.parquet")})
    arguments = []
    for symbol in symbols:
        chosen = _chosen(data, symbol)
        if chosen is None:
            sys.stderr.write(f"{symbol}: days alone are known, left out\n")
            continue
        path, frame = chosen
        known = data / "derivs" / f"{symbol}_4h.parquet"
        if known.exists():
            frame = _with_microstructure(frame, path, pd.read_parquet(known))
        made = folder / f"{path.stem}.parquet"
        frame.to_parquet(made)
        arguments.append(str(made))
        for funding in (data / "funding", data / "funding_binance_um"):
            settled = funding / f"{symbol}_funding.parquet"
            if settled.exists() and "funding_rate" not in frame:
                arguments.append(f"funding:{settled}")
                break
        sys.stderr.write(f"{symbol}: {path.relative_to(data)}, {len(frame)} candles\n")
    sys.stdout.write("\n".join(arguments) + "\n")


def _chosen(data: Path, symbol: str) -> tuple[Path, pd.DataFrame] | None:
    for timeframe in FINEST:
        for venue in VENUES:
            path = data / venue / f"{symbol}_{timeframe}.parquet"
            if path.exists():
                frame = pd.read_parquet(path)
                first, last = frame["open_time"].iloc[0], frame["open_time"].iloc[-1]
                if first < START and last >= END - pd.Timedelta("4h"):
                    return path, frame
    return None


def _with_microstructure(frame: pd.DataFrame, path: Path, known: pd.DataFrame) -> pd.DataFrame:
    """Funding is the last settled rate carried on, as candle files have it: what opens at a settlement counts.

    The ratio of accounts is known a candle (of 4 h) after its stamp; a replay takes the close of its row for that.
    """
    stamped = known.set_index("open_time")
    late = pd.Timedelta("4h") - pd.Timedelta(path.stem.split("_")[1].replace("m", "min"))
    ratio = stamped[["long_ratio"]].set_index(stamped.index + late)
    columns = ["open_interest", "funding_rate"]
    frame = frame.drop(columns=[*columns, "long_ratio"], errors="ignore")
    return frame.join(stamped[columns], on="open_time").join(ratio, on="open_time")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
