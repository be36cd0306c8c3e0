"""The files of a multipart/form-data body that has been received whole (RFC 7578).

Starlette's parser isn't used, because it is made for bodies that arrive in pieces: it reads the body in Python, on the
event loop, and writes large files to disk.
"""

from python_multipart.multipart import parse_options_header

MAX_HEADER_BYTES = 2048  # of one part, and of the Content-Type


class MultipartError(ValueError):
    """A body can't be read; the text is one sentence for the client."""


def read_files(content_type: str, body: bytes, max_parts: int) -> list[tuple[str, bytes]]:
    """Return name and content of each file in the body; MultipartError if there are none, or too many parts."""
    boundary = parse_options_header(content_type[:MAX_HEADER_BYTES])[1].get(b"boundary")
    if not boundary:
        raise MultipartError("the body can't be read as multipart/form-data: its Content-Type names no boundary")
    # The bytes before the first boundary and after the last one are no part.
    parts = (b"\r\n" + body).split(b"\r\n--" + boundary, max_parts + 1)[1:]
    if not parts or not parts[-1].startswith(b"--"):
        if len(parts) > max_parts:
            raise MultipartError(f"at most {max_parts} files are allowed in a request")
        raise MultipartError("the body can't be read as multipart/form-data: its last boundary is missing")
    files = [file for part in parts[:-1] if (file := read_file(part)) is not None]
    if not files:
        raise MultipartError("expected at least one file in the multipart/form-data")
    return files


def read_file(part: bytes) -> tuple[str, bytes] | None:
    """Return name and content of a part; None if it is a field, not a file; MultipartError if its header is invalid."""
    header, found, content = part.partition(b"\r\n\r\n")
    lines = header.lstrip(b" \t").split(b"\r\n")
    if not found or lines[0] or len(header) > MAX_HEADER_BYTES:
        raise MultipartError(
            "the body can't be read as multipart/form-data: a part has no header, or one that is too long"
        )
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-disposition":
            options = parse_options_header(value.strip())[1]
            if b"filename" in options:
                return options[b"filename"].decode(errors="replace"), content
    return None
