import json
import os

from pipeline.tracking.live import LiveRun


def test_what_a_full_pipe_does_not_take_is_dropped_in_whole_lines():
    live = LiveRun({})
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with open(reading, "rb", buffering=0) as end, open(writing, "wb", buffering=0) as live._pipe:
        received = b""
        for number in range(40):  # messages of 30 kB each, into a pipe that holds 64 kB
            live.send({"epoch": number, "metrics": "x" * 30_000})
            if number % 5 == 4:
                received += end.read(50_000)
        while live._unsent:
            received += end.read(65_536)
            live.send({"status": "FINISHED"})
        live._pipe.close()
        received += end.read()
    assert received.endswith(b"\n")
    messages = [json.loads(line) for line in received.splitlines()]
    assert messages[0]["epoch"] == 0
    assert 2 < len(messages) < 41
    assert messages[-1] == {"status": "FINISHED"}
