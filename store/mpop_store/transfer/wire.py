"""Frames: how two programs talk over a pair of streams.

    frame     1 byte kind, 4 bytes length of the payload (little-endian), payload of at most 1 MiB
    message   frames `j` and a last one `J`: canonical JSON in pieces
    pieces    frames `D`, then `E`: bytes of any length
    objects   for each a frame `O` (32 bytes name, 8 bytes size, the first bytes of its file) and frames `D` with
              the rest; after the last one `E`

Where pieces or objects are expected a message with the key `error` may come instead, and ends everything. Lengths
are checked before memory is taken, and memory is taken as bytes arrive, not as they are announced.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from mpop_store import errors
from mpop_store.errors import MpopError, StateError, StoreError
from mpop_store.hashing import canonical_json, parse_json
from mpop_store.objects.loose import LARGEST_FILE
from mpop_store.transfer.remote import ObjectFile

FRAME = struct.Struct("<cI")
OBJECT = struct.Struct("<32sQ")
MAX_PAYLOAD = 2**20
MAX_MESSAGE = 64 * 2**20
MAX_NAMES = 2**16
"""Names of objects in one request."""
MAX_ERROR = 2000
"""Characters of a message from the other side that a user is shown."""
ERRORS = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, MpopError)
}


class ConnectionCutError(StoreError):
    """The other side is gone."""


class ProtocolError(StoreError):
    """The other side says something that makes no sense."""


class Channel:
    """One end of a connection. peer: what to call the other side in messages."""

    def __init__(self, reader: BinaryIO, writer: BinaryIO, peer: str) -> None:
        self._reader = reader
        self._writer = writer
        self.peer = peer

    def _write(self, kind: bytes, *parts: bytes | memoryview) -> None:
        try:
            self._writer.write(FRAME.pack(kind, sum(map(len, parts))))
            for part in parts:
                self._writer.write(part)
        except (OSError, ValueError) as error:  # ValueError: closed by us, after an earlier error
            raise self._cut() from error

    def _cut(self) -> ConnectionCutError:
        return ConnectionCutError(
            f"the connection to {self.peer} was cut; run the command again, what has arrived is kept"
        )

    def flush(self) -> None:
        """Send what has been written."""
        try:
            self._writer.flush()
        except (OSError, ValueError) as error:
            raise self._cut() from error

    def _read(self, count: int) -> bytes:
        try:
            data = self._reader.read(count)
        except TimeoutError as error:
            raise ConnectionCutError(
                f"{self.peer} sends too slowly for long and is given up; run the command again, what has arrived "
                "is kept (`git config mpop.lowSpeedLimit` and `mpop.lowSpeedTime` say how slow it may be)"
            ) from error
        except (OSError, ValueError) as error:
            raise self._cut() from error
        if len(data) != count:
            raise self._cut()
        return data

    def _frame(self) -> tuple[bytes, bytes]:
        kind, length = FRAME.unpack(self._read(FRAME.size))
        if kind not in b"jJDOE" or length > MAX_PAYLOAD:
            raise ProtocolError(f"{self.peer} does not speak mpop's language")
        return kind, self._read(length)

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message. Raises StoreError when it is too long."""
        text = canonical_json(message)
        if len(text) > MAX_MESSAGE:
            raise StoreError(f"a message of {len(text)} bytes is more than {self.peer} would accept")
        *first, last = _cut_up(text) or [b""]
        for piece in first:
            self._write(b"j", piece)
        self._write(b"J", last)
        self.flush()

    def receive(self) -> dict[str, Any]:
        """Receive a message. Raises the error that it may hold."""
        return self._message(*self._frame())

    def _message(self, kind: bytes, payload: bytes) -> dict[str, Any]:
        pieces, size = [payload], len(payload)
        while kind == b"j":
            kind, payload = self._frame()
            pieces.append(payload)
            size += len(payload)
            if size > MAX_MESSAGE or not payload:
                raise ProtocolError(f"{self.peer} sends a message that never ends")
        try:
            message = parse_json(b"".join(pieces)) if kind == b"J" else None
        except ValueError:
            message = None
        if not isinstance(message, dict):
            raise ProtocolError(f"{self.peer} sends something else than a message")
        if "error" in message:
            raise _error_in(message["error"])
        return message

    def send_error(self, error: MpopError) -> None:
        """Tell the other side what went wrong here."""
        self.send({"error": {"kind": type(error).__name__, "message": str(error)[:MAX_ERROR]}})

    def send_pieces(self, pieces: Iterable[bytes]) -> None:
        """Send bytes of any length."""
        for piece in pieces:
            for part in _cut_up(piece):
                self._write(b"D", part)
        self._write(b"E")
        self.flush()

    def pieces(self) -> Iterator[bytes]:
        """Receive bytes of any length."""
        while True:
            kind, payload = self._frame()
            if kind == b"E" and not payload:
                return
            if kind != b"D" or not payload:
                self._message(kind, payload)
                raise ProtocolError(f"{self.peer} sends a message among data")
            yield payload

    def send_names(self, names: Sequence[str]) -> None:
        """Send names of objects."""
        self.send_pieces([bytes.fromhex("".join(names))] if names else [])

    def names(self) -> list[str]:
        """Receive names of objects. Raises ProtocolError for more than `MAX_NAMES`."""
        raw = self._bounded(32 * MAX_NAMES)
        if len(raw) % 32:
            raise ProtocolError(f"{self.peer} sends half a name")
        return [raw[start : start + 32].hex() for start in range(0, len(raw), 32)]

    def send_flags(self, flags: Sequence[bool]) -> None:
        """Send a bitmap, the first flag in the lowest bit of the first byte."""
        number = sum(1 << place for place, flag in enumerate(flags) if flag)
        self.send_pieces([number.to_bytes((len(flags) + 7) // 8, "little")])

    def flags(self, count: int) -> list[bool]:
        """Receive a bitmap of known length."""
        raw = self._bounded((count + 7) // 8)
        if len(raw) != (count + 7) // 8:
            raise ProtocolError(f"{self.peer} does not answer for every object")
        return [bool(raw[place // 8] >> place % 8 & 1) for place in range(count)]

    def _bounded(self, most: int) -> bytes:
        pieces: list[bytes] = []
        size = 0
        for piece in self.pieces():
            size += len(piece)
            if size > most:
                raise ProtocolError(f"{self.peer} sends more than was agreed")
            pieces.append(piece)
        return b"".join(pieces)

    def send_objects(self, objects: Iterable[ObjectFile]) -> None:
        """Send the files of objects."""
        room = MAX_PAYLOAD - OBJECT.size
        for name, blob in objects:
            content = memoryview(blob)
            self._write(b"O", OBJECT.pack(bytes.fromhex(name), len(blob)), content[:room])
            for part in _cut_up(content[room:]):
                self._write(b"D", part)
        self._write(b"E")
        self.flush()

    def objects(self) -> Iterator[ObjectFile]:
        """Receive the files of objects; neither names nor content are checked here."""
        while True:
            kind, payload = self._frame()
            if kind == b"E" and not payload:
                return
            if kind != b"O" or len(payload) < OBJECT.size:
                self._message(kind, payload)
                raise ProtocolError(f"{self.peer} sends a message among objects")
            raw, size = OBJECT.unpack_from(payload)
            if size > LARGEST_FILE:
                raise ProtocolError(
                    f"{self.peer} sends an object of {size} bytes, which is more than any may have"
                )
            yield raw.hex(), self._rest_of_object(payload[OBJECT.size :], size)

    def _rest_of_object(self, first: bytes, size: int) -> bytes:
        pieces, arrived = [first], len(first)
        while arrived < size:
            kind, payload = self._frame()
            if kind != b"D" or not payload:
                self._message(kind, payload)
                raise ProtocolError(f"{self.peer} sends an object that ends too early")
            pieces.append(payload)
            arrived += len(payload)
        if arrived != size:
            raise ProtocolError(f"{self.peer} sends an object that is longer than announced")
        return first if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Close both streams."""
        for stream in (self._writer, self._reader):
            try:
                stream.close()
            except (OSError, ValueError):  # what was not flushed cannot be sent any more
                continue


def _cut_up(data: bytes | memoryview) -> list[memoryview]:
    view = memoryview(data)
    return [view[start : start + MAX_PAYLOAD] for start in range(0, len(view), MAX_PAYLOAD)]


def _error_in(value: Any) -> MpopError:
    """The error that the other side reports, with nothing in it that a terminal would obey."""
    if not isinstance(value, dict) or not isinstance(value.get("message"), str):
        return ProtocolError("the other side reports an error that makes no sense")
    text = "".join(letter if letter.isprintable() else " " for letter in value["message"][:MAX_ERROR])
    return ERRORS.get(str(value.get("kind")), StateError)(text)
