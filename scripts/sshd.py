#!/usr/bin/env python3
"""A real sshd on a loopback port, with throw-away keys, for tests: nothing of the machine's own set-up is touched.

    with Sshd(folder) as server:
        subprocess.run([*server.ssh, "true"])

From the command line it runs until it is interrupted, and prints how to reach it: scripts/sshd.py FOLDER
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

STARTS_WITHIN_S = 10.0
PLACES = (None, "/usr/sbin:/usr/local/sbin:/sbin")


def find(program: str) -> str | None:
    """Where a program is; sshd is in a folder that users do not search."""
    return next((found for path in PLACES if (found := shutil.which(program, path=path))), None)


class Sshd:
    """A server that lets in its own key only, as the user who runs it. folder: for keys and logs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def host(self) -> str:
        """What an ssh address begins with."""
        return f"{getpass.getuser()}@127.0.0.1"

    @property
    def command(self) -> str:
        """A shell command in place of `ssh`, for GIT_SSH_COMMAND."""
        options = {
            "IdentityFile": self._folder / "user",
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": self._folder / "known_hosts",
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
            "LogLevel": "ERROR",
        }
        return " ".join(["ssh", "-F", "none", *(f"-o '{key}={value}'" for key, value in options.items())])

    def __enter__(self) -> Sshd:
        program = find("sshd")
        if program is None:
            raise FileNotFoundError("no sshd; install openssh-server")
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        for name in ("host", "user"):
            if not (self._folder / name).exists():
                keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._folder / name)]
                subprocess.run(keygen, check=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        shutil.copy(self._folder / "user.pub", self._folder / "authorized_keys")
        host_key = (self._folder / "host.pub").read_text()
        (self._folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {host_key}")
        (self._folder / "config").write_text(self._config())
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where sshd locks itself in before anybody has logged in
        arguments = [program, "-D", "-e", "-f", str(self._folder / "config")]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(arguments, stdout=log, stderr=log, start_new_session=True)
        self._wait()
        return self

    def _config(self) -> str:
        return "\n".join(
            [
                f"Port {self.port}",
                "ListenAddress 127.0.0.1",
                f"HostKey {self._folder / 'host'}",
                f"AuthorizedKeysFile {self._folder / 'authorized_keys'}",
                f"PidFile {self._folder / 'pid'}",
                "PasswordAuthentication no",
                "PermitRootLogin prohibit-password",
                "StrictModes no",
                "UsePAM no",
                "",
            ]
        )

    def _wait(self) -> None:
        assert self._process is not None
        end = time.monotonic() + STARTS_WITHIN_S
        while time.monotonic() < end and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        self.stop()
        raise RuntimeError(f"sshd does not start: {(self._folder / 'log').read_text()}")

    def stop(self) -> None:
        """End the server and every connection to it."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait(timeout=10)
            self._process = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def main() -> None:
    """Run a server until Ctrl-C, or until asked to end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # a shell lets what it puts aside ignore the first
    with Sshd(Path(sys.argv[1])) as server:
        print(f"ssh://{server.host}:{server.port}/", f'GIT_SSH_COMMAND="{server.command}"', sep="\n", flush=True)
        with suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
