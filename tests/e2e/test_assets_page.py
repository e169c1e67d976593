"""An operator at the Assets page in a real browser, on a whole running system: buys, watches it trail, closes."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Locator, Page, TimeoutError, sync_playwright

from tests.api.trading_system import TradingSystem, running_system
from tests.support.folders import scratch_folder
from tests.support.postgres import PostgresServer
from tests.support.servers import Server
from workers.stack.ports import free_port
from workers.stack.process import ChildSpec

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser at {CHROMIUM}"),
]


@pytest.fixture(scope="module")
def system(postgres_server: PostgresServer) -> Iterator[TradingSystem]:
    dsn = postgres_server.new_database()
    with scratch_folder() as folder, running_system(folder, dsn) as running:
        yield running
    postgres_server.drop_database(dsn)


@pytest.fixture(scope="module")
def page_url(system: TradingSystem, session_folder: Path) -> Iterator[str]:
    port = free_port()
    options = ("--server.address=127.0.0.1", f"--server.port={port}", "--server.headless=true")
    command = (sys.executable, "-m", "streamlit", "run", "ui/app.py", *options, "--browser.gatherUsageStats=false")
    environment = {**system.api.environment(), "PYTHONPATH": str(Path.cwd())}
    spec = ChildSpec(command, session_folder / "ui.out", Path.cwd(), environment)
    url = f"http://127.0.0.1:{port}"
    with Server(spec, lambda: _answers(f"{url}/_stcore/health"), ready_timeout=90):
        yield url


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False


@pytest.fixture
def page(page_url: str) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        opened = browser.new_page(viewport={"width": 1440, "height": 900})
        opened.set_default_timeout(60_000)
        opened.goto(page_url)
        yield opened
        browser.close()


def test_buy_watch_it_trail_and_close(system: TradingSystem, page: Page, tmp_path: Path) -> None:
    page.get_by_text("No position is open").wait_for()
    page.screenshot(path=tmp_path / "empty.png")

    page.get_by_test_id("stSidebar").get_by_role("button", name="Buy", exact=True).click()
    page.get_by_placeholder("why this trade").fill("seen in a test")
    page.get_by_role("button", name=re.compile("^Buy .+USDT$")).click()
    with system.api.client() as client:
        position = _shown_position(page)
        opened = system.until_protected(client, position)
        assert opened.entry_price is not None
        peak = opened.entry_price * 103 / 100
        system.push(opened.category, opened.symbol, f"{peak:.2f}")
        page.get_by_text("trailing armed").wait_for()
        page.get_by_text(re.compile(r"^guard .* s$")).wait_for()
        page.screenshot(path=tmp_path / "armed.png")
        page.emulate_media(color_scheme="dark")
        page.screenshot(path=tmp_path / "armed_dark.png")
        page.emulate_media(color_scheme="light")

        page.get_by_role("button", name="Close", exact=True).first.click()
        page.get_by_placeholder("why now").fill("enough profit")
        page.get_by_role("button", name=f"Close {opened.symbol}").click()
        closed = system.until(client, position, "closed")
    assert closed.exit_reason == "manual_close"
    page.get_by_text("No position is open").wait_for()
    page.screenshot(path=tmp_path / "closed.png")


def test_every_page_opens_in_light_and_dark_as_the_system_says(page: Page, tmp_path: Path) -> None:
    lightness = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.reload()
        for name in ("Assets", "Analytics", "Strategies", "Signals", "Regime & watchlist"):
            page.get_by_test_id("stSidebarNav").get_by_role("link", name=name).click()
            page.get_by_role("heading", name=name, exact=True).wait_for()
            page.screenshot(path=tmp_path / f"{name.lower()}_{scheme}.png")
            assert page.get_by_test_id("stException").count() == 0
        background = page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
        lightness[scheme] = sum(int(part) for part in re.findall(r"\d+", background)[:3])
    assert lightness["light"] > 600 > 150 > lightness["dark"]


def test_trading_is_halted_and_resumed(system: TradingSystem, page: Page) -> None:
    _press(page, "Halt", "why it is halted").fill("seen in a test")
    page.get_by_role("button", name="Halt trading").click()
    page.get_by_text("Trading is halted: no new entries.").wait_for()
    with system.api.client() as client:
        assert client.halt_status().halted
        _press(page, "Resume", "why it may go on").fill("seen enough")
        page.get_by_role("button", name="Resume trading").click()
        page.get_by_role("button", name="Halt", exact=True).wait_for()
        assert not client.halt_status().halted


def _press(page: Page, button: str, placeholder: str) -> Locator:
    """Press what opens a dialog, and its reason's field. A press into the redrawing of a slow page can get lost in the
    browser: then it is pressed again, as an operator would."""
    field = page.get_by_placeholder(placeholder)
    for _ in range(3):
        with suppress(TimeoutError):
            page.get_by_role("button", name=button, exact=True).click(timeout=20_000)
            field.wait_for(timeout=20_000)
            break
    return field


def _shown_position(page: Page) -> str:
    """The id of the position the page shows, from its row's key."""
    row = page.locator('[class*="st-key-close-"]').first
    row.wait_for()
    found = re.search(r"st-key-close-([a-z2-7]{20})", row.get_attribute("class") or "")
    assert found, "the row names its position"
    return found[1]
