"""Addresses: what they mean, and that none becomes an option of ssh."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpop_store import InputError
from mpop_store.transfer.addresses import DirectoryAddress, SshAddress, check_remote_name, parse_address
from mpop_store.transfer.ssh import ssh_command

HERE = Path("/here")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/data/pop", "/data/pop"),
        ("../pop", "/pop"),
        ("pop", "/here/pop"),
        ("./a:b", "/here/a:b"),
        ("/data/a:b", "/data/a:b"),
        ("file:///data/pop%20one", "/data/pop one"),
    ],
)
def test_folders(text: str, path: str) -> None:
    assert parse_address(text, HERE) == DirectoryAddress(Path(path))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("host:pop", SshAddress("host", "pop")),
        ("anna@host.lab:/data/pop", SshAddress("host.lab", "/data/pop", "anna")),
        ("anna@[::1]:pop", SshAddress("[::1]", "pop", "anna")),
        ("ssh://host/data/pop", SshAddress("host", "/data/pop")),
        ("ssh://anna@host:2222/~/pop", SshAddress("host", "~/pop", "anna", 2222)),
        ("ssh://[::1]:22/p", SshAddress("[::1]", "/p", None, 22)),
    ],
)
def test_other_machines(text: str, address: SshAddress) -> None:
    assert parse_address(text, HERE) == address


@pytest.mark.parametrize("text", ["host:pop", "anna@host:/data", "ssh://anna@host:22/~/pop", "ssh://host:9/p"])
def test_an_address_is_written_as_it_can_be_read(text: str) -> None:
    address = parse_address(text, HERE)
    assert parse_address(str(address), HERE) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-oProxyCommand=evil:pop",
        "ssh://-oProxyCommand=evil/pop",
        "ssh://-l@host/pop",
        "-l@host:pop",
        "user name@host:pop",
        "ho st:pop",
        "host:",
        "ssh://host",
        "ssh://host:notaport/p",
        "ssh://user:secret@host/p",
        "ssh://host/p?x=1",
        "https://host/pop",
        "ext::sh -c evil",
        "host:po\np",
        "host;evil:pop",
        "$(evil):pop",
        "[::1:pop",
    ],
)
def test_odd_addresses_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_address(text, HERE)


def test_the_path_is_one_word_for_the_shell_over_there() -> None:
    address = parse_address("host:a b'; touch /tmp/evil; '", HERE)
    assert isinstance(address, SshAddress)
    assert ssh_command(address, "mpop", None)[-2:] == [
        "host",
        "mpop serve-stdio -- 'a b'\"'\"'; touch /tmp/evil; '\"'\"''",
    ]


@pytest.mark.parametrize("name", ["origin", "lab-b", "a.b_c", "2nd"])
def test_names_of_remotes(name: str) -> None:
    assert check_remote_name(name) == name


@pytest.mark.parametrize("name", ["", "-o", ".hidden", "a/b", "a..b", "x.lock", "a b", "ä", "x" * 200])
def test_odd_names_of_remotes_are_refused(name: str) -> None:
    with pytest.raises(InputError):
        check_remote_name(name)
