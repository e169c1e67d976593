"""The backtest engine's place: the same strategies, gates and exits as live, over arrays."""
