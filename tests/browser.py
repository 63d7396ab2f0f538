"""A real browser for tests of pages: Debian's Chromium, driven by Playwright. CI sets PAXTRAIL_TEST_BROWSER, and then it must be there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

PROGRAM = shutil.which("chromium") or ""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a screen; skips where there is none and nobody insists."""
    if not PROGRAM:
        if os.environ.get("PAXTRAIL_TEST_BROWSER"):
            pytest.fail("chromium is missing: apt-get install chromium")
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        try:
            yield browser
        finally:
            browser.close()
