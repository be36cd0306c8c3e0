"""Which of the answered images are kept, where, and for how long."""

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from prometheus_client import CollectorRegistry, Counter

from serving.app.limits import Sampling
from serving.app.samples import DAY, Sample, Sampler, folder_name, remove_old, write
from tests.helpers.waiting import eventually

NOW = datetime(2026, 11, 30, 13, 45, 2, tzinfo=UTC)
SAMPLE = Sample(np.arange(12, dtype=np.uint8).reshape(3, 4), "7", 0.98765, NOW)


@pytest.fixture
def outcomes() -> Counter:
    return Counter("samples", "", ("outcome",), registry=CollectorRegistry())


def count(outcomes: Counter) -> dict[str, float]:
    return {
        sample.labels["outcome"]: sample.value
        for metric in outcomes.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    }


def answers(*labels: str) -> list[dict[str, object]]:
    return [{"label": label, "confidence": 0.5} for label in labels]


def files(folder: Path) -> list[str]:
    # Unlike rglob, walk goes on where a sampler removes a folder meanwhile.
    found = (Path(root, name) for root, _, names in os.walk(folder) for name in names)
    return sorted(path.relative_to(folder).as_posix() for path in found)


def test_a_sample_is_a_png_by_day_and_class_with_the_very_pixels(tmp_path):
    write(tmp_path, SAMPLE)
    (file,) = files(tmp_path)
    assert re.fullmatch(r"answers-2026-11-30/7/134502-0\.988-[0-9a-f]{8}\.png", file)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / file)), SAMPLE.pixels)


@pytest.mark.parametrize("pixels", [np.full((2, 4, 5), 9, np.uint8), np.full((2, 4, 5, 3), 8.6, np.float32)], ids=str)
def test_images_are_written_in_colour_too_and_those_of_json(tmp_path, outcomes, pixels):
    sampler = Sampler(Sampling(tmp_path, 1.0, 30), outcomes)
    sampler.take(pixels, answers("oak", "T-shirt/top"))
    sampler.waiting.join()
    found = files(tmp_path)
    assert [file.split("/")[1] for file in found] == ["T-shirt%2Ftop", "oak"]
    for file in found:
        image = np.asarray(Image.open(tmp_path / file))
        np.testing.assert_array_equal(image, np.full(pixels.shape[1:], 9))
    assert count(outcomes) == {"written": 2}


def test_a_share_is_kept(tmp_path, outcomes):
    sampler = Sampler(Sampling(tmp_path, 0.1, 30), outcomes)
    sampler.take(np.zeros((5000, 2, 2), np.uint8), answers(*["7"] * 5000))
    sampler.waiting.join()
    assert 350 < sum(count(outcomes).values()) < 650


def test_what_the_disk_does_not_take_is_counted_and_harms_nobody(tmp_path, outcomes, caplog):
    (tmp_path / "file").touch()
    sampler = Sampler(Sampling(tmp_path / "file", 1.0, 30), outcomes)
    for _ in range(3):
        sampler.take(np.zeros((1, 2, 2), np.uint8), answers("7"))
    sampler.waiting.join()
    assert count(outcomes) == {"failed": 3}
    assert len([record for record in caplog.records if "samples can't be written" in record.message]) == 1


def test_what_a_slow_disk_keeps_waiting_is_dropped(tmp_path, outcomes, monkeypatch):
    monkeypatch.setattr(Sampler, "_write_all", lambda _: None)
    monkeypatch.setattr("serving.app.samples.MAX_WAITING", 2)
    Sampler(Sampling(tmp_path, 1.0, 30), outcomes).take(np.zeros((5, 2, 2), np.uint8), answers(*"77777"))
    assert count(outcomes) == {"dropped": 3}


def test_old_samples_are_removed_and_nothing_else(tmp_path):
    write(tmp_path, SAMPLE)
    old = Sample(SAMPLE.pixels, "7", 0.5, datetime(2026, 10, 2, tzinfo=UTC))
    write(tmp_path, old)
    write(tmp_path, Sample(SAMPLE.pixels, "8", 0.5, old.answered))
    mine = tmp_path / f"{old.answered:{DAY}}" / "8" / "IMG_0001.png"
    mine.touch()
    other = tmp_path / "answers-of-old" / "7" / "134502-0.988-00000000.png"
    other.parent.mkdir(parents=True)
    other.touch()
    remove_old(tmp_path, datetime(2026, 11, 30, tzinfo=UTC))
    (kept,) = files(tmp_path / f"{NOW:{DAY}}")
    assert set(files(tmp_path)) == {
        path.relative_to(tmp_path).as_posix() for path in (mine, other, tmp_path / f"{NOW:{DAY}}" / kept)
    }
    assert not (tmp_path / f"{old.answered:{DAY}}" / "7").exists()


def test_old_samples_are_removed_without_a_request_too(tmp_path, outcomes, monkeypatch):
    class Clock(datetime):
        days = 29

        @classmethod
        def now(cls, tz=None):
            return NOW + timedelta(days=cls.days)

    monkeypatch.setattr("serving.app.samples.datetime", Clock)
    monkeypatch.setattr("serving.app.samples.NEW_DAY_S", 0.01)
    write(tmp_path, Sample(SAMPLE.pixels, "7", 0.5, NOW - timedelta(days=3)))
    write(tmp_path, SAMPLE)
    Sampler(Sampling(tmp_path, 1.0, 30), outcomes)
    eventually(lambda: len(files(tmp_path)) == 1)
    Clock.days = 31
    eventually(lambda: not files(tmp_path))


def test_a_removal_that_fails_is_tried_again_and_reported_once(tmp_path, outcomes, monkeypatch, caplog):
    tries = []

    def fail(folder, before):
        if folder == tmp_path:  # the sampler of an earlier test may still be running
            tries.append(before)
            raise PermissionError("read-only")

    monkeypatch.setattr("serving.app.samples.remove_old", fail)
    sampler = Sampler(Sampling(tmp_path, 1.0, 30), outcomes)
    for _ in range(3):
        sampler.take(np.zeros((1, 2, 2), np.uint8), answers("7"))
    sampler.waiting.join()
    assert len(tries) >= 3
    assert count(outcomes) == {"written": 3}
    assert [record.message for record in caplog.records] == ["old samples can't be removed: read-only"]


@pytest.mark.parametrize(
    ("label", "name"),
    [("猫", "猫"), ("Katze, schwarz", "Katze, schwarz"), ("a/b", "a%2Fb"), ("..", "%2E."), ("100%", "100%25")],
)
def test_a_class_has_a_folder_that_stays_in_its_place(label, name):
    assert folder_name(label) == name
