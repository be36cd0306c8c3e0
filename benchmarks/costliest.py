"""Search for the request that costs the app the most CPU time, by hill climbing over ways to make requests.

`python -m benchmarks.costliest MODEL [steps] [seed]`: MODEL as for `python -m serving.app`. The search for each kind of
request starts from choices that are known to cost much, and again from random choices every 40 steps. A step changes
one choice, and is kept if the server took at least as many CPU seconds. Prints the costliest request of each kind that
was answered, and the costliest that was refused.
"""

import io
import json
import math
import random
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from benchmarks.servers import Server

BODY_BYTES = 32 << 20
Choices = Mapping[str, tuple[Any, ...]]
Request = tuple[str, str, bytes]  # path, content type, body
Shape = tuple[int, ...]  # of an image of the model

FILES = (1, 1, 2, 8, 24)
PIXELS = (28**2, 10**5, 512**2, 10**6, 10**7, 35_000_000, 39_999_000)
RATIOS = (1, 2, 1000, 1e6)
NOTES = (0, 100, 200, 201, 5000)
PNG: Choices = {
    "files": FILES, "pixels": PIXELS, "ratio": RATIOS, "color": (0, 2, 4, 6), "depth": (8, 16), "filter": (0, 1, 2, 4),
    "interlace": (0, 1), "noise": (0, 0.02, 0.1), "drawing": ("bar", "stripes", "dots"), "note": NOTES,
    "texts": (0, 4, 5, 63), "chunks": (0, 500, 900, 100_000), "piece": (1 << 30, 8192, 250, 30),
}  # fmt: skip
JPEG: Choices = {
    "files": FILES, "pixels": PIXELS, "ratio": RATIOS, "mode": ("L", "RGB", "CMYK"), "quality": (1, 30, 90),
    "progressive": (False, True), "subsampling": (0, 2), "drawing": ("bar", "stripes", "dots", "noise"), "note": NOTES,
    "scans": (0, 10, 50, 90, 1000), "segments": (0, 700, 100_000), "junk": (0, 2500, 10**6),
}  # fmt: skip
JSON: Choices = {
    "form": ("inputs", "instances", "dataframe_split", "dataframe_records"),
    "images": (1, 20, 21, 325, 326, 500, 1000, 1001),
    "number": ("0", "255", "12.5", "1e2", "2.2250738585072011e-308", "0.12345678901234567890123456789012345", "-0.0"),
    "space": ("", " ", "\n\t"),
}  # fmt: skip
RAW: Choices = {"images": (1, 8, 9, 1000, 1001, 42_000)}
WEBP: Choices = {
    "files": FILES, "pixels": (28**2, 10**6, 10**7, 19_999_000, 20_100_000), "ratio": RATIOS, "mode": ("RGB", "RGBA"),
    "lossless": (False, True), "quality": (1, 30, 60), "drawing": ("bar", "stripes", "dots", "noise"),
}  # fmt: skip


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def exif(entries: int) -> bytes:
    """Return an EXIF note of that many entries."""
    entry = struct.pack("<HHII", 0x0112, 3, 1, 6)
    others = b"".join(struct.pack("<HHII", 0x1000 + number, 4, 1, 0) for number in range(entries - 1))
    return b"II*\0" + struct.pack("<IH", 8, entries) + entry + others + bytes(4)


def size(pixels: int, ratio: float) -> tuple[int, int]:
    """Return width and height of about `pixels` pixels, with a ratio as near to `ratio` as possible."""
    height = max(1, int((pixels / min(ratio, pixels)) ** 0.5))
    return max(1, min(pixels // height, 2**31 - 1)), height


def draw(width: int, height: int, drawing: str) -> np.ndarray:
    """Return a drawing that isn't blank: uint8 [height, width]."""
    image = np.full((height, width), 255, np.uint8)
    if drawing == "bar":
        image[height // 4 : -(-height * 3 // 4), width // 2 : width // 2 + max(1, width // 20)] = 0
    elif drawing == "stripes":
        image[::16] = image[1::16] = 0
        image[:, : max(1, width // 100)] = 0
    elif drawing == "dots":
        image[::8, ::8] = image[1::8, ::8] = image[::8, 1::8] = 0
    else:
        image[:] = np.random.default_rng(0).integers(0, 255, image.shape, np.uint8)
    return image


def make_png(genes: Mapping[str, Any]) -> Request:
    """Return a request of PNG files."""
    width, height = size(genes["pixels"], genes["ratio"])
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[genes["color"]] * genes["depth"] // 8
    image = draw(width, height, genes["drawing"])
    rows = np.repeat(image, channels, axis=1)
    noisy = int(height * min(genes["noise"], 2e7 / max(1, rows.size)))
    rows[:noisy] = np.random.default_rng(0).integers(0, 255, rows[:noisy].shape, np.uint8)
    # The rows name a filter that isn't applied to them: they decode to another drawing, at the same cost.
    filtered = np.insert(rows, 0, genes["filter"], axis=1).tobytes()
    if genes["interlace"]:  # seven passes, with a byte for the filter of each of their lines
        filtered += bytes([genes["filter"]]) * (2 * height + 16)
    stream = zlib.compress(filtered, 1)
    extra = chunk(b"eXIf", exif(genes["note"])) if genes["note"] else b""
    packed = zlib.compress(bytes(1 << 20), 9)
    extra += b"".join(chunk(b"zTXt", b"%d\0\0" % number + packed) for number in range(genes["texts"]))
    extra += chunk(b"abCd") * genes["chunks"]
    header = struct.pack(">IIBBBBB", width, height, genes["depth"], genes["color"], 0, 0, genes["interlace"])
    data = b"".join(chunk(b"IDAT", stream[at : at + genes["piece"]]) for at in range(0, len(stream), genes["piece"]))
    return multipart([b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + data + chunk(b"IEND")] * genes["files"])


def make_jpeg(genes: Mapping[str, Any]) -> Request:
    """Return a request of JPEG files."""
    width, height = (min(side, 65_500) for side in size(genes["pixels"], genes["ratio"]))
    image, file = Image.fromarray(draw(width, height, genes["drawing"])).convert(genes["mode"]), io.BytesIO()
    image.save(
        file, "JPEG", quality=genes["quality"], progressive=genes["progressive"], subsampling=genes["subsampling"]
    )
    data = file.getvalue()
    last, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    scans = data[last:end] * min(genes["scans"], BODY_BYTES // (end - last)) if genes["progressive"] else b""
    note = b"Exif\0\0" + exif(genes["note"])
    extra = b"\xff\xe1" + struct.pack(">H", len(note) + 2) + note if genes["note"] else b""
    extra += b"\xff\xed\0\2" * genes["segments"] + bytes(genes["junk"])
    return multipart([data[:2] + extra + data[2:end] + scans + data[end:]] * genes["files"])


def make_webp(genes: Mapping[str, Any]) -> Request:
    """Return a request of WebP files, written with the least effort."""
    width, height = (min(side, 16_383) for side in size(genes["pixels"], genes["ratio"]))
    image, file = Image.fromarray(draw(width, height, genes["drawing"])).convert(genes["mode"]), io.BytesIO()
    if genes["mode"] == "RGBA":
        image.putalpha(image.getchannel("R"))
    image.save(file, "WEBP", lossless=genes["lossless"], quality=genes["quality"], method=0)
    return multipart([file.getvalue()] * genes["files"])


def multipart(files: list[bytes]) -> Request:
    """Return a request of one or several files, as many as a body may hold."""
    head = b'\r\n--frontier\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
    files = files[: max(1, BODY_BYTES // (len(files[0]) + 100))]
    return "/predict", "multipart/form-data; boundary=frontier", b"".join(head + f for f in files) + b"\r\n--frontier--"


def make_json(genes: Mapping[str, Any]) -> Request:
    """Return a request in one of MLflow's JSON forms."""
    joined = ("," + genes["space"]).join
    flat = f"[{joined([genes['number']] * math.prod(genes['shape']))}]"
    images, form, image = genes["images"], genes["form"], genes["number"]
    for side in reversed(genes["shape"]):
        image = f"[{joined([image] * side)}]"
    content = {
        "dataframe_split": '{"columns": ["x"], "data": [' + joined([f"[{flat}]"] * images) + "]}",
        "dataframe_records": "[" + joined(['{"x":' + flat + "}"] * images) + "]",
    }.get(form, "[" + joined([image] * images) + "]")
    return "/invocations", "application/json", f"{json.dumps({form: 0})[:-2]}{content}}}".encode()


def make_raw(genes: Mapping[str, Any]) -> Request:
    """Return a request of raw pixels."""
    values = math.prod(genes["shape"])
    return "/predict", "application/octet-stream", (bytes(range(256)) * values)[:values] * genes["images"]


# Where the search begins: choices that cost much, by what is known about the decoders.
STARTS: Mapping[str, Mapping[str, Any]] = {
    "png": {"files": 1, "pixels": 39_999_000, "ratio": 1, "color": 6, "depth": 16, "filter": 4, "interlace": 0,
            "noise": 0.02, "drawing": "bar", "note": 200, "texts": 4, "chunks": 900, "piece": 8192},
    "jpeg": {"files": 1, "pixels": 35_000_000, "ratio": 1, "mode": "RGB", "quality": 1, "progressive": True,
             "subsampling": 2, "drawing": "noise", "note": 200, "scans": 80, "segments": 700, "junk": 0},
    "webp": {"files": 1, "pixels": 19_999_000, "ratio": 1, "mode": "RGBA", "lossless": False, "quality": 60,
             "drawing": "noise"},
    "json": {"form": "inputs", "images": 1000, "number": "2.2250738585072011e-308", "space": ""},
    "raw": {"images": 1000},
}  # fmt: skip
KINDS: dict[str, tuple[Choices, Callable[[Mapping[str, Any]], Request]]] = {
    "png": (PNG, make_png), "jpeg": (JPEG, make_jpeg), "webp": (WEBP, make_webp), "json": (JSON, make_json),
    "raw": (RAW, make_raw),
}  # fmt: skip


def measure(server: Server, request: Request) -> tuple[float, int]:
    """Return the CPU seconds that the server took for a request, and the answer's status; 0 if it hung up."""
    path, kind, body = request
    process, connection = psutil.Process(server.process.pid), server.connect()
    before = process.cpu_times()
    try:
        connection.request("POST", path, body, {"Content-Type": kind})
        answer = connection.getresponse()
        answer.read()
    except ConnectionError:
        return 0.0, 0
    after = process.cpu_times()
    connection.close()
    return after.user + after.system - before.user - before.system, answer.status


def climb(
    server: Server, kind: str, shape: Shape, steps: int, chance: random.Random
) -> dict[bool, tuple[float, int, Any, int]]:
    """Return the costliest request by whether it was answered (True) or refused: seconds, status, choices, bytes."""
    choices, make = KINDS[kind]
    here, cost = dict(STARTS[kind]), -1.0
    worst: dict[bool, tuple[float, int, Any, int]] = {}
    for step in range(steps):
        name = chance.choice(list(choices))
        there = here | {name: chance.choice(choices[name])} if step else here
        if step and step % 40 == 0:  # start again elsewhere
            there, cost = {name: chance.choice(values) for name, values in choices.items()}, -1.0
        request = make(there | {"shape": shape})
        if len(request[2]) > BODY_BYTES:
            continue
        seconds, status = measure(server, request)
        if seconds >= cost:
            here, cost = there, seconds
        if seconds > worst.get(status == 200, (0.0,))[0]:
            worst[status == 200] = seconds, status, there, len(request[2])
    return worst


def main() -> None:
    """Search, and print what was found."""
    model, steps, seed = [*sys.argv[1:], *("models:/mnist@champion", "150", "0")[len(sys.argv) - 1 :]]
    with tempfile.TemporaryDirectory() as folder:
        server = Server([sys.executable, "-m", "serving.app", model], "/healthz", Path(folder) / "log")
        try:
            connection = server.connect()
            connection.request("GET", "/readyz")
            image = json.loads(connection.getresponse().read())["model"]["image"]
            connection.close()
            shape = image["height"], image["width"], *([3] if image["channels"] == 3 else [])
            for kind in KINDS:
                worst = climb(server, kind, shape, int(steps), random.Random(int(seed)))
                for answered, (seconds, status, genes, length) in sorted(worst.items(), reverse=True):
                    what = "answered" if answered else f"refused ({status})"
                    print(f"{kind:5} {what:14} {seconds:5.2f} s  {length:>11,} bytes  {genes}", flush=True)
            print(f"memory at the end {server.memory_bytes() >> 20} MB")
        finally:
            server.stop()


if __name__ == "__main__":
    main()
