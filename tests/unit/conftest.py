"""Fixtures of several packages' unit tests."""

import pytest

from pipeline.tracking import promotion
from tests.helpers.candidates import candidate
from tests.helpers.registry import Registry


@pytest.fixture
def registry(tmp_path, monkeypatch) -> Registry:
    """A registry with a bad, an equally bad and a good version; the journal is in a folder of its own."""
    made = Registry(bad=candidate(range(50)), equal=candidate(range(50, 100)), good=candidate(range(5)))
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setattr(promotion, "load_candidate", lambda version, policy: made.candidates[version.tags["model"]])
    return made
