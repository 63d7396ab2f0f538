"""The agent's pages in a real browser: by keyboard alone, without accessibility violations, renewed by themselves."""

from __future__ import annotations

import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it has no types
from playwright.sync_api import Page, expect
from tests.browser import chromium
from tests.serving.world import BAG, World, passenger, reservation

from paxtrail.settings import ROOT
from paxtrail.stack import places
from paxtrail.stack.processes import running

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


@contextmanager
def opened(world: World, **environment: str) -> Iterator[Page]:
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
        running(command, problem, log=settings.logs / "api.log", environment={**places.environment(settings), **environment}),
        chromium() as browser,
    ):
        page = browser.new_page(base_url=address)
        page.goto("/agent")
        yield page


@pytest.fixture
def page(world: World) -> Iterator[Page]:
    with opened(world) as found:
        yield found


def _no_violations(page: Page) -> None:
    """As the page looks by day and by night."""
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page).response["violations"]
        assert [(one["id"], [node["target"] for node in one["nodes"]]) for one in found] == [], scheme


def _sign_in(page: Page, world: World) -> None:
    """By keyboard: the page begins in the field of the token; a purpose is chosen by its first letters."""
    page.keyboard.type(world.bearer("agent"))
    page.keyboard.press("Tab")
    page.keyboard.type("disr")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Find a customer")).to_be_visible()
    expect(page.get_by_text("for disruption")).to_be_visible()


def _find(page: Page, locator: str, surname: str) -> None:
    """By keyboard: from the field of the value back to the kind, and on."""
    expect(page.get_by_label("Value")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.type("locator")
    for text in (locator, surname):
        page.keyboard.press("Tab")
        page.keyboard.type(text)
    page.keyboard.press("Enter")


def test_an_agent_finds_a_customer_by_keyboard_and_sees_changes_come(page: Page, world: World) -> None:
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text) if message.type == "error" else None)
    _sign_in(page, world)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Find")).to_be_focused()
    page.keyboard.press("/")
    _find(page, "K7Q2ZP", "Smith")
    expect(page.get_by_role("heading", name="John Smith")).to_be_visible()
    expect(page.locator("[data-flight-status]")).to_have_text("scheduled")

    world.feed(("flights", world.flight("2013-02-08T09:30:00Z", status="DX")))
    expect(page.locator("[data-flight-status]")).to_have_text("cancelled", timeout=10_000)
    expect(page.get_by_role("status")).to_contain_text("Renewed")
    _no_violations(page)
    assert refused == []

    page.keyboard.press("/")
    expect(page.get_by_role("heading", name="Find a customer")).to_be_visible()


def test_every_page_is_accessible_by_day_and_by_night(page: Page, world: World) -> None:
    _no_violations(page)
    page.keyboard.type("no token")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Not accepted")
    _no_violations(page)
    _sign_in(page, world)
    _no_violations(page)

    family = [passenger(1, "MILLER", "EVE"), passenger(2, "MILLER", "TOM")]
    missed = BAG.replace("BSM\n", "BUM\n", 1).replace("ENDBSM", "ENDBUM")
    world.feed(("reservations", reservation("PARTY1", passengers=family)), ("baggage", missed))
    _find(page, "PARTY1", "Miller")
    expect(page.get_by_role("heading", name="2 customers found")).to_be_visible()
    _no_violations(page)

    _find(page, "K7Q2ZP", "Smith")
    expect(page.get_by_text("mishandled", exact=True)).to_be_visible()
    expect(page.locator("[data-sentiment]")).to_contain_text("negative")
    _no_violations(page)


def test_a_page_left_open_goes_to_signing_in_when_its_session_has_ended(world: World) -> None:
    with opened(world, PAXTRAIL_API__CHANGES_S="0") as page:
        _sign_in(page, world)
        _find(page, "K7Q2ZP", "Smith")
        expect(page.get_by_role("heading", name="John Smith")).to_be_visible()
        page.context.clear_cookies()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible(timeout=30_000)


def test_a_page_of_a_signed_out_agent_says_so(page: Page) -> None:
    page.goto("/agent/customers/" + "0" * 32)
    expect(page.get_by_role("alert")).to_contain_text("token missing")
    _no_violations(page)
