"""The files of a multipart body."""

import pytest

from serving.app.multipart import MultipartError, read_files
from tests.helpers.client import multipart

KIND = "multipart/form-data; boundary=frontier"
HEADER = b'--frontier\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'


def test_each_file_is_returned_with_its_name_and_its_very_bytes():
    files = [("a.png", b"\r\n--frontie\r\n\r\n"), ("größe.png", bytes(range(256))), ("", b"")]
    body, kind = multipart(files)
    assert read_files(kind, body, 3) == files


def test_fields_preambles_epilogues_and_padding_are_stepped_over():
    field = b'--frontier\r\nContent-Disposition: form-data; name="x"\r\n\r\ny\r\n'
    body = b"preamble\r\n" + field + HEADER.replace(b"tier\r", b"tier \t\r") + b"a\r\n--frontier--\r\nepilogue"
    assert read_files('multipart/form-data; boundary="frontier"', body, 2) == [("a.png", b"a")]


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        ("multipart/form-data", HEADER, "names no boundary"),
        ("multipart/form-data; boundary=", HEADER, "names no boundary"),
        (KIND, b"", "last boundary is missing"),
        (KIND, HEADER + b"a", "last boundary is missing"),
        (KIND, (HEADER + b"a\r\n") * 4 + b"--frontier--", "at most 3 files"),
        (KIND, b"--frontier--", "at least one file"),
        (KIND, b'--frontier\r\nContent-Disposition: form-data; name="x"\r\n\r\ny\r\n--frontier--', "at least one file"),
        (KIND, b"--frontier\r\nno header\r\n--frontier--", "a part has no header"),
        (KIND, HEADER.replace(b"name=", b"x" * 5000) + b"\r\n--frontier--", "one that is too long"),
        (KIND, HEADER + b"\r\n--frontierx\r\n--frontier--", "a part has no header"),
    ],
)
def test_a_body_that_is_none_gets_one_sentence(kind, body, message):
    with pytest.raises(MultipartError, match=message):
        read_files(kind, body, 3)
