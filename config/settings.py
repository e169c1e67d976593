"""Every setting a process reads, from environment variables named ``ATS_<SECTION>__<NAME>`` or a ``.env`` file.

Secrets made for the embedded defaults live in ``<data_dir>/credentials`` (see ``config.credentials``), so that nothing
needs to be set to start.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class PostgresSettings(BaseModel):
    """``dsn`` unset: the embedded server on ``port``. Set: that server (``postgresql://user:pass@host/db``)."""

    dsn: SecretStr | None = None
    port: int = 5433
    pool_size: int = 10


class TemporalSettings(BaseModel):
    """``address`` unset: the embedded dev server on ``port``. Set: that frontend (cluster or Temporal Cloud)."""

    address: str | None = None
    port: int = 7233
    ui_port: int = 8233
    metrics_port: int = 9233
    namespace: str = "default"
    api_key: SecretStr | None = None
    tls: bool = False


class PaperSettings(BaseModel):
    """The paper exchange the local stack starts when ``exchange.mode`` is ``paper``.

    ``manual``: a market without trades of its own; they come by ``POST /paper/ticks``, for tests and measurements.
    ``shadow``: the live market of Bybit (``live``, ``testnet``, or a REST address) with paper execution, in wall time.
    ``speed`` is market seconds per wall second, or ``step``: the market stands still until it is told to advance.
    ``rate_limits`` scales Bybit's limits (in wall time); ``off`` has none and tells none.
    ``ticks_per_minute`` is how dense trades are: fewer keep a market at thousands of times the wall's speed light.
    """

    port: int = 8100
    speed: Annotated[float, Field(gt=0, le=100_000)] | Literal["step"] = 1.0
    ticks_per_minute: float = Field(default=4.0, gt=0, le=1_000)
    rate_limits: Annotated[float, Field(gt=0, le=1_000)] | Literal["off"] = 1.0
    seed: int = 1
    manual: bool = False
    replay: list[Path] = []
    shadow: str | None = None
    start: str | None = None
    symbols: list[str] = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT", "LINKUSDT"]
    deposit: dict[str, str] = {"USDT": "100000"}


class ExchangeSettings(BaseModel):
    """Which exchange. Keys are needed outside paper mode; live needs ``confirm_live=yes`` besides.

    ``order_entry`` is how orders go out: ``websocket`` is the trade socket while it stands, and REST when it doesn't.
    ``rate_share`` is the part of the account's rate limits this process may use; the shares of all add up to 1.
    """

    mode: Literal["paper", "demo", "testnet", "live"] = "paper"
    confirm_live: str = ""
    api_key: SecretStr | None = None
    api_secret: SecretStr | None = None
    url: str | None = None
    recv_window_ms: int = 5000
    http_timeout_seconds: float = 3.0
    order_entry: Literal["rest", "websocket"] = "rest"
    rate_share: float = Field(default=1.0, gt=0, le=1)
    paper: PaperSettings = PaperSettings()


class ApiSettings(BaseModel):
    host: str = "127.0.0.1"
    port: int = 8000
    key: SecretStr | None = None
    url: str | None = None


class UiSettings(BaseModel):
    host: str = "127.0.0.1"
    port: int = 8501


class Settings(BaseSettings):
    """All settings of one process. Build it with ``Settings()``; it refuses an unsafe combination at once."""

    model_config = SettingsConfigDict(
        env_prefix="ATS_",
        env_nested_delimiter="__",
        env_file=".env",
        env_parse_none_str="none",  # so that a launcher can pass "not set" to a child that would read it from .env
        extra="ignore",
    )

    data_dir: Path = Path(".ats")
    log_dir: Path = Path("logs")
    log_level: str = "INFO"
    postgres: PostgresSettings = PostgresSettings()
    temporal: TemporalSettings = TemporalSettings()
    exchange: ExchangeSettings = ExchangeSettings()
    api: ApiSettings = ApiSettings()
    ui: UiSettings = UiSettings()

    @model_validator(mode="after")
    def _live_is_explicit(self) -> Settings:
        ex = self.exchange
        if ex.mode == "live" and ex.confirm_live != "yes":
            raise ValueError("live trading needs ATS_EXCHANGE__CONFIRM_LIVE=yes besides ATS_EXCHANGE__MODE=live")
        if ex.mode != "paper" and not (ex.api_key and ex.api_secret):
            raise ValueError(f"mode {ex.mode} needs ATS_EXCHANGE__API_KEY and ATS_EXCHANGE__API_SECRET")
        if ex.mode == "demo" and ex.order_entry == "websocket":
            raise ValueError("demo accounts have no trade socket: set ATS_EXCHANGE__ORDER_ENTRY=rest")
        return self

    @property
    def embedded_postgres(self) -> bool:
        return self.postgres.dsn is None

    @property
    def embedded_temporal(self) -> bool:
        return self.temporal.address is None

    @cached_property
    def temporal_address(self) -> str:
        return self.temporal.address or f"127.0.0.1:{self.temporal.port}"

    @property
    def api_url(self) -> str:
        return self.api.url or f"http://127.0.0.1:{self.api.port}"

    @property
    def paper_url(self) -> str:
        return self.exchange.url or f"http://127.0.0.1:{self.exchange.paper.port}"
