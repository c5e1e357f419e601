"""Bodies of HTTP answers: decompression that cannot be made to explode, and what a Content-Type says."""

from __future__ import annotations

import codecs
import zlib
from email.message import Message


class TooLarge(Exception):
    """The body is longer than allowed."""


class Undecodable(Exception):
    """The body is not encoded as it claims."""


class BoundedDecoder:
    """Collects a body, unzipping it if need be, and never holds more than `limit` bytes of it.

    encoding: the Content-Encoding. Raises Undecodable for one that was not asked for.
    """

    def __init__(self, encoding: str, limit: int) -> None:
        self._limit = limit
        self._body = bytearray()
        self._begun = False
        match encoding.strip().lower():
            case "" | "identity":
                self._gzip = None
            case "gzip" | "x-gzip":
                self._gzip = zlib.decompressobj(zlib.MAX_WBITS | 16)  # 16: with gzip's header and checksum
            case _:
                raise Undecodable("the body comes in an encoding that was not asked for")

    def feed(self, chunk: bytes) -> None:
        """Add a piece as it came. Raises TooLarge, Undecodable."""
        self._begun = True
        self._body += chunk if self._gzip is None else self._unzipped(self._gzip, chunk)
        if len(self._body) > self._limit:
            raise TooLarge

    def finish(self) -> bytes:
        """The whole body. Raises Undecodable if the compressed stream stops short or goes on."""
        if self._gzip is not None and self._begun and (not self._gzip.eof or self._gzip.unused_data):
            raise Undecodable("the compressed body does not end where its data do")
        return bytes(self._body)

    def _unzipped(self, gzip: zlib._Decompress, chunk: bytes) -> bytes:
        if gzip.eof:
            raise Undecodable("the compressed body goes on after its end")
        try:
            return gzip.decompress(chunk, self._limit - len(self._body) + 1)
        except zlib.error as error:
            raise Undecodable("the body cannot be decompressed") from error


def is_json(content_type: str) -> bool:
    media = _media_type(content_type)
    return media == "application/json" or media.endswith("+json")


def is_text(content_type: str) -> bool:
    media = _media_type(content_type)
    return media.startswith("text/") or media.endswith("+xml") or media in _TEXT


_TEXT = frozenset(
    {
        "application/xml",
        "application/javascript",
        "application/x-www-form-urlencoded",
        "application/x-ndjson",
        "application/yaml",
        "application/toml",
    }
)


def charset_of(content_type: str) -> str:
    """The charset that a Content-Type names, if Python knows it as a text encoding; UTF-8 otherwise."""
    message = Message()
    message["content-type"] = content_type
    try:
        named = codecs.lookup(message.get_content_charset("utf-8"))
    except (LookupError, ValueError):
        return "utf-8"
    return named.name if named._is_text_encoding else "utf-8"


def text_of(body: bytes, content_type: str) -> str:
    """The body as a Unicode text that can be written as UTF-8; what cannot be decoded is replaced."""
    text = body.decode(charset_of(content_type), errors="replace")
    return text.encode(errors="replace").decode()  # some codecs let half surrogate pairs through


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
