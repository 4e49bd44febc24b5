"""Fixtures that find the test material beside the checkout.

Where that material is missing, tests that need it skip and say why; with ``CI`` set they fail instead, so that an
empty folder can never pass for a green run.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from graphsim.datasets import load
from graphsim.datasets.files import CACHE_VARIABLE, MIRROR_VARIABLE
from graphsim.errors import DatasetError

# Nothing is timed in a test: a machine that is busy with something else proves nothing.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

SHARED = Path(__file__).resolve().parents[2] / "shared"
SHARED_MNIST = SHARED / "datasets" / "mnist"
GOLDEN = Path(__file__).resolve().parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write what tests produce to tests/golden")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """``golden(name, text)`` asserts that ``text`` is the content of ``tests/golden/name``."""

    def check(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(text.encode("utf-8"))
        assert text == path.read_bytes().decode("utf-8"), f"differs from {path}; --update-golden writes it anew"

    return check


def _missing(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"CI is set, so this must not be missing: {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session", autouse=True)
def _mnist_beside_the_checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """All tests take MNIST from beside the checkout, with a cache of their own; without it, from the user's cache."""
    if not SHARED_MNIST.is_dir():
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MIRROR_VARIABLE, str(SHARED_MNIST))
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of third-party test material beside the checkout. Read-only."""
    if not SHARED.is_dir():
        _missing(f"no test material in {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def mnist() -> Path:
    """Folder of the four verified MNIST files, from which ``load("mnist")`` reads."""
    try:
        load("mnist", "train", 1)
        return Path(load("mnist", "test", 1).source)
    except DatasetError as error:
        _missing(str(error))
        raise


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser that draws pages, and keeps what they say and what they ask for."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        reason = "needs chromium and chromedriver (Debian: apt-get install chromium chromium-driver)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = chromium
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"):
        options.add_argument(flag)
    options.add_argument("--disable-component-update")
    options.add_argument("--window-size=1200,1600")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = Chrome(options=options, service=Service(driver))
    yield chrome
    chrome.quit()
