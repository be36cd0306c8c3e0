"""What axe-core finds wrong on a page for those who see, hear or move otherwise."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

SERIOUS = ("serious", "critical")


def find_barriers(page: Page) -> list[str]:
    """Return the serious findings on a page as it is now, each with the elements that it is about."""
    found = Axe().run(page).response
    assert found["passes"]  # it has looked
    return [
        f"{finding['id']}: {finding['help']}: {[node['html'] for node in finding['nodes']]}"
        for finding in found["violations"]
        if finding["impact"] in SERIOUS
    ]
