from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.urls import reverse
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

LOOPBACK = ["127.0.0.1", "::1", "localhost"]
SECONDS = 15
HEIGHT = 900

_LOADED = """
return [...document.images]
  .filter((image) => image.getBoundingClientRect().top < innerHeight)
  .every((image) => image.naturalWidth)
"""
_READ = "return [...document.querySelectorAll(arguments[0])].map(e => e.innerText).join(' ')"
_WIDER = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"


@dataclass(frozen=True)
class Browser:
    """What a person does in one, in a person's words."""

    chrome: Chrome
    url: str

    def log_in(self, session: str) -> None:
        self.chrome.get(f"{self.url}/healthz")
        self.chrome.delete_all_cookies()
        self.chrome.add_cookie({"name": "sessionid", "value": session, "path": "/"})

    def resize(self, width: int) -> None:
        """By the page itself: a window of less than 500 pixels is not to be had."""
        size = {"width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        self.chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def go(self, page: str, *arguments: object, query: str = "") -> None:
        path = reverse(f"admin:intelligence_knownperson_{page}", args=arguments)
        self.chrome.get(f"{self.url}{path}{query}")

    def press(self, text: str) -> None:
        """The button, and waits for the page that comes."""
        pressed = self.button(text)
        page = self.chrome.find_element(By.TAG_NAME, "html")
        self.chrome.execute_script("arguments[0].scrollIntoView({block: 'center'})", pressed)
        pressed.click()
        self.wait(lambda: self.chrome.find_element(By.TAG_NAME, "html") != page)
        self.wait(lambda: self.chrome.execute_script("return document.readyState") == "complete")

    def button(self, text: str) -> WebElement:
        """The first one, where there are several: messages come before the page."""
        buttons = self.chrome.find_elements(By.CSS_SELECTOR, ".messagelist button, #content button")
        return next(each for each in buttons if each.text == text)

    def choose(self, name: str, value: int) -> None:
        self.chrome.find_element(By.CSS_SELECTOR, f'input[name="{name}"][value="{value}"]').click()

    def type(self, field: str, text: str) -> None:
        self.chrome.find_element(By.ID, field).send_keys(text)

    def reads(self, selector: str) -> str:
        """At once: one by one, they might go with their page meanwhile."""
        text: str = self.chrome.execute_script(_READ, selector)
        return text

    def pictures(self) -> int:
        """That are there. Waits until those in sight are seen; others come when they are scrolled to."""
        self.wait(lambda: self.chrome.execute_script(_LOADED))
        return len(self.chrome.find_elements(By.CSS_SELECTOR, "#content img"))

    def sticks_out(self) -> int:
        """Pixels by which the page is wider than the window."""
        wider: int = self.chrome.execute_script(_WIDER)
        return wider

    def wait(self, condition: Callable[[], object]) -> None:
        WebDriverWait(self.chrome, SECONDS).until(lambda _: condition())
