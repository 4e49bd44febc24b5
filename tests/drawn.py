"""What a page has drawn, once it has: Plotly draws when it finds time to."""

from __future__ import annotations

from typing import Any

from selenium.webdriver.support.ui import WebDriverWait

_SCRIPT = (
    "return [...document.querySelectorAll('[id^=plot-]')].filter(e => e.querySelector('.main-svg')).map(e => e.id)"
)


def drawn(page: Any, expected: set[str]) -> set[str]:
    """Ids of the plots that are drawn; waits until all that are expected are.

    Raises:
        TimeoutException: they are not within half a minute.
    """
    WebDriverWait(page, 30).until(lambda one: expected <= set(one.execute_script(_SCRIPT)))
    return set(page.execute_script(_SCRIPT))
