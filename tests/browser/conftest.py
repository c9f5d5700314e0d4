"""A real browser, Debian's Chromium, and a store for it to look at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client
from pytest_django.live_server_helper import LiveServer
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

from tests.browser.browser import LOOPBACK, Browser
from tests.intelligence.people.conftest import Library, library

__all__ = ["Library", "library"]

BROWSERS = ("chromium", "google-chrome", "chromium-browser")
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # in a container everybody is root, for whom there is none
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.allow_hosts(LOOPBACK))


@pytest.fixture(scope="session")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """One for all tests of a process: to start it takes as long as some tests."""
    driver = shutil.which("chromedriver")
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not (driver and browser):
        pytest.skip("no browser: install chromium and chromedriver (Debian: chromium chromium-driver)")
    options = ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    chrome = Chrome(options=options, service=ChromeService(driver))
    chrome.set_page_load_timeout(30)
    yield chrome
    chrome.quit()


@pytest.fixture
def browser(chrome: Chrome, live_server: LiveServer, admin_client: Client, media_root: Path) -> Browser:
    """In which the administrator has logged in."""
    browser = Browser(chrome, live_server.url)
    browser.log_in(admin_client.cookies["sessionid"].value)
    browser.resize(1280)
    return browser
