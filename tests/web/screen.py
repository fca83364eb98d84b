"""A real browser on the page: Chromium without a screen, and what is asked of every page in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.patience import PATIENCE
from tests.web.site import PASSWORD

#: Finds what is wrong for those who hear, use keys, or see little contrast; returns a list of texts.
FAULTS = Path(__file__).with_name("faults.js").read_text(encoding="utf-8")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Debian's Chromium; without it the tests fail, for a skipped check would prove nothing."""
    program = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)
    if program is None:
        pytest.fail("the tests of the page need Chromium: on Debian and Ubuntu, apt-get install chromium")
    rights = ["--no-sandbox"] if os.name == "posix" and os.geteuid() == 0 else []  # Chromium's own does not run as root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=rights)
        yield browser
        browser.close()


class Screen:
    """One window: remembers what went wrong in it.

    Attributes:
        tab: Playwright's page.
        wrong: Errors of scripts and of the console, which tells violations of the content policy too; dialogs.
    """

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self._context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
        self.tab: Page = self._context.new_page()
        self.tab.set_default_timeout(PATIENCE * 1000)
        self.url, self.wrong = url, list[str]()
        self.tab.on("console", lambda m: self.wrong.append(m.text) if m.type in ("error", "warning") else None)
        self.tab.on("pageerror", lambda e: self.wrong.append(str(e)))
        self.tab.on("dialog", self._dialog)

    def _dialog(self, dialog: Any) -> None:
        self.wrong.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    def go(self, path: str = "/") -> Page:
        self.tab.goto(self.url + path)
        return self.tab

    def sign_in(self, name: str = "ann") -> Page:
        self.go("/sign-in")
        self.tab.fill("#name", name)
        self.tab.fill("#password", PASSWORD)
        self.tab.click("button.main")
        self.tab.wait_for_url(self.url + "/")
        return self.tab

    def too_wide(self) -> int:
        """Pixels by which one could scroll sideways."""
        width: int = self.tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        return width

    def faults(self) -> list[str]:
        found: list[str] = self.tab.evaluate(FAULTS)
        return found

    def close(self) -> None:
        self._context.close()
