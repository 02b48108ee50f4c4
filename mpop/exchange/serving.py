"""`mpop serve-stdio`: the far side of an ssh connection."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mpop.errors import MpopError
from mpop.exchange.rules import RULES
from mpop_store.transfer.remotes import open_directory
from mpop_store.transfer.serving import serve
from mpop_store.transfer.ssh import BUFFER
from mpop_store.transfer.wire import Channel


def serve_stdio(path: Path, read_only: bool = False) -> None:
    """Answer requests on standard input and output, until the other side has no more."""
    reader = os.fdopen(os.dup(0), "rb", BUFFER)
    writer = os.fdopen(os.dup(1), "wb", BUFFER)
    os.dup2(2, 1)  # nothing that is printed by mistake may get among the frames
    channel = Channel(reader, writer, "the other side")
    try:
        remote = open_directory(path.expanduser(), None if read_only else RULES)
    except MpopError as error:
        channel.send_error(error)
    else:
        serve(remote, channel)
    finally:
        channel.close()
        sys.stdout.flush()
