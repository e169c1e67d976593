"""The exchange: what we need of one (protocol), Bybit through pybit (bybit), and our paper exchange (paper)."""
