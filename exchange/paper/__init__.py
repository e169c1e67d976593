"""The paper exchange: a server that speaks Bybit's v5 REST and WebSocket protocol over a pure core."""
