"""Check a page with axe-core for barriers to people with disabilities."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

SERIOUS = ("serious", "critical")


def find_barriers(page: Page) -> list[str]:
    """Return the serious findings on a page in its current state, each with its HTML elements."""
    found = Axe().run(page).response
    assert found["passes"]  # axe-core has checked something
    return [
        f"{finding['id']}: {finding['help']}: {[node['html'] for node in finding['nodes']]}"
        for finding in found["violations"]
        if finding["impact"] in SERIOUS
    ]
