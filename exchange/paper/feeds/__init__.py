"""The markets a paper exchange can play: replayed candles, a synthetic one, and one whose ticks are pushed by hand."""

from exchange.paper.feeds.build import build_feed

__all__ = ["build_feed"]
