"""What /metrics reports."""

import pytest

from serving.app.metrics import Metrics

MODEL = {"name": "digits", "version": "3"}


@pytest.mark.parametrize("route", ["/predict", "/", "/page", "other"])
def test_a_request_is_counted_by_its_route(route):
    metrics = Metrics()
    metrics.observe(route, 200, 0.004)
    text = metrics.render(MODEL).decode()
    assert f'digits_requests_total{{route="{route}",status="200"}} 1.0' in text
    assert f'digits_request_seconds_bucket{{le="0.005",route="{route}"}} 1.0' in text
    assert f'digits_request_seconds_bucket{{le="0.002",route="{route}"}} 0.0' in text
    assert f'digits_request_seconds_sum{{route="{route}"}} 0.004' in text


def test_only_the_model_that_answers_now_is_shown():
    metrics = Metrics()
    metrics.render({"name": "digits", "version": "2"})
    models = [line for line in metrics.render(MODEL).decode().splitlines() if line.startswith("digits_model_info{")]
    assert models == ['digits_model_info{name="digits",version="3"} 1.0']


def test_two_servers_in_one_process_count_for_themselves():
    one, other = Metrics(), Metrics()
    one.images.inc(5)
    assert "digits_images_total 5.0" in one.render(MODEL).decode()
    assert "digits_images_total 0.0" in other.render(MODEL).decode()
