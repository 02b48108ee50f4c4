"""Reaching a population on another machine: the system's ssh runs `mpop serve-stdio` there.

So keys, agents, jump hosts and `~/.ssh/config` work as they do for Git, and there is no server to keep.
"""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from threading import Thread
from typing import BinaryIO, cast

from mpop_store.errors import StoreError
from mpop_store.terminal import show
from mpop_store.transfer.addresses import SshAddress
from mpop_store.transfer.connected import ConnectedRemote
from mpop_store.transfer.patience import THINKING_S, Asking, Patience, PatientReader
from mpop_store.transfer.remote import Push
from mpop_store.transfer.wire import Channel, ConnectionCutError, ProtocolError

NOT_FOUND = 127
"""What a shell ends with when there is no such command."""
SSH_FAILED = 255
BUFFER = 2**20
ENDS_WITHIN_S = 5.0
LONGEST_LINE = 4096


class SshRemote(ConnectedRemote):
    """A population behind ssh. far_mpop: the command there; ssh: a shell command to use in place of `ssh`."""

    def __init__(self, address: SshAddress, far_mpop: str, ssh: str | None, patience: Patience) -> None:
        command = ssh_command(address, far_mpop, ssh)
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
            )
        except OSError as error:
            raise StoreError(f"cannot run {command[0]}: {error.strerror or error}") from error
        self._said = Thread(target=_pass_on, args=(self._process.stderr,), daemon=True)
        self._said.start()
        self._reader = PatientReader(cast(io.FileIO, self._process.stdout), patience)
        reader = io.BufferedReader(self._reader, BUFFER)
        writer = Asking(cast(io.FileIO, self._process.stdin), BUFFER, self._reader)
        channel = Channel(reader, writer, str(address))
        try:
            super().__init__(channel, str(address))
        except (ConnectionCutError, ProtocolError) as error:
            raise _unreachable(address, far_mpop, self._end(), error) from error
        except BaseException:
            channel.close()
            self._end()
            raise

    def push(self, push: Push) -> None:
        with self._reader.waiting(THINKING_S):
            super().push(push)

    def close(self) -> None:
        super().close()
        self._end()

    def _end(self) -> int:
        """Wait for ssh, whose streams are closed, but not for ever; returns its exit code."""
        try:
            code = self._process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._said.join(ENDS_WITHIN_S)
        return code


def _pass_on(stream: BinaryIO) -> None:
    """Show what ssh and the far side say on standard error, so that it cannot command the terminal."""
    with stream:
        while line := stream.readline(LONGEST_LINE):
            show(line.decode("utf-8", "backslashreplace").rstrip("\r\n"), sys.stderr)


def ssh_command(address: SshAddress, far_mpop: str, ssh: str | None) -> Sequence[str]:
    """The command line. ssh, or else the variables that Git knows too, may replace the program."""
    port = [] if address.port is None else ["-p", str(address.port)]
    path = address.path.removeprefix("/") if address.path.startswith("/~") else address.path
    arguments = [*port, address.destination, f"{far_mpop} serve-stdio -- {shlex.quote(path)}"]
    shell = os.environ.get("GIT_SSH_COMMAND") or ssh
    if shell:
        return ["sh", "-c", f'{shell} "$@"', shell, *arguments]
    return [os.environ.get("GIT_SSH") or "ssh", *arguments]


def _unreachable(address: SshAddress, far_mpop: str, code: int, error: StoreError) -> StoreError:
    if code == NOT_FOUND:
        return StoreError(
            f"there is no {far_mpop!r} on {address.host}; install mpop there, or say where it is: "
            "`--far-mpop PATH` to clone, else `git config remote.<name>.mpop PATH`"
        )
    if code == SSH_FAILED:
        return StoreError(f"ssh cannot reach {address}; `ssh {address.destination}` must work first")
    if isinstance(error, ProtocolError):
        return StoreError(
            f"{address} says something else than mpop does; its shell must print nothing when it starts "
            f"(try `ssh {address.destination} true`)"
        )
    return StoreError(f"{address} ended at once, with exit code {code}")
