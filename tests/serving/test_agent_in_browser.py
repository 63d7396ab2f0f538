"""The agent's pages in a real browser: by keyboard alone, without accessibility violations, renewed by themselves."""

from __future__ import annotations

import sys
import urllib.request
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it has no types
from playwright.sync_api import Page, expect
from tests.browser import chromium
from tests.serving.world import World

from paxtrail.settings import ROOT
from paxtrail.stack import places
from paxtrail.stack.processes import running


@pytest.fixture
def page(world: World) -> Iterator[Page]:
    """A page at the sign-in of an API that runs as in production."""
    settings = world.settings
    address = f"http://127.0.0.1:{settings.api.port}"

    def problem() -> str:
        try:
            return "" if urllib.request.urlopen(f"{address}/health/ready", timeout=2).status == 200 else "unready"
        except OSError as error:
            return type(error).__name__

    command = [sys.executable, str(ROOT / "api" / "main.py")]
    with (
        running(command, problem, log=settings.logs / "api.log", environment=places.environment(settings)),
        chromium() as browser,
    ):
        page = browser.new_page(base_url=address)
        page.goto("/agent")
        yield page


def _no_violations(page: Page) -> None:
    found = Axe().run(page).response["violations"]
    assert [(one["id"], [node["target"] for node in one["nodes"]]) for one in found] == []


def test_an_agent_finds_a_customer_by_keyboard_and_sees_changes_come(page: Page, world: World) -> None:
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text) if message.type == "error" else None)
    page.keyboard.type(world.bearer("agent"))
    page.keyboard.press("Tab")
    page.keyboard.type("care")
    page.keyboard.press("Enter") if page.evaluate("document.activeElement.tagName") == "BUTTON" else page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Find a customer")).to_be_visible()
    _no_violations(page)

    page.get_by_label("By", exact=True).select_option("pnr")
    page.locator("body").evaluate("document.activeElement.blur()")
    page.keyboard.press("/")
    page.keyboard.type("K7Q2ZP")
    page.keyboard.press("Tab")
    page.keyboard.type("Smith")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="John, Smith")).to_be_visible()
    expect(page.locator("[data-flight-status]")).to_have_text("scheduled")
    _no_violations(page)

    world.feed(("flights", world.flight("2013-02-08T09:30:00Z", status="DX")))
    expect(page.locator("[data-flight-status]")).to_have_text("cancelled", timeout=10_000)
    expect(page.get_by_role("status")).to_contain_text("Renewed")
    _no_violations(page)
    assert refused == []


def test_a_page_of_a_signed_out_agent_says_so(page: Page) -> None:
    page.goto("/agent/customers/" + "0" * 32)
    expect(page.get_by_role("alert")).to_contain_text("token missing")
    _no_violations(page)
