#!/usr/bin/env bash
# Programs that the tests need and that are not Python packages: Git, an ssh server, a C compiler for the library that
# makes disks fail, and RELION 3.1. Installs what is missing where that is possible (Debian, as root); elsewhere says
# what to install. Tests with RELION are skipped where it is not there.
set -euo pipefail

missing=()
command -v git >/dev/null || missing+=(git)
command -v ssh >/dev/null || missing+=(openssh-client)
command -v sshd >/dev/null || [ -x /usr/sbin/sshd ] || missing+=(openssh-server)
command -v cc >/dev/null || command -v gcc >/dev/null || command -v clang >/dev/null || missing+=(gcc libc6-dev)
debian=$([ "$(id -u)" -eq 0 ] && command -v apt-get || true)
relion=$(command -v relion_refine_mpi || true)
[ ${#missing[@]} -eq 0 ] && [ -n "$relion" ] && exit 0

if [ -n "$debian" ]; then
    export DEBIAN_FRONTEND=noninteractive
    policy=/usr/sbin/policy-rc.d # asked before a server is started: none is to be, only tests start one
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        trap 'rm -f "$policy"' EXIT
    fi
    apt-get update -qq
    [ ${#missing[@]} -eq 0 ] || apt-get install -y -qq --no-install-recommends "${missing[@]}"
    [ -n "$relion" ] || apt-get install -y -qq --no-install-recommends relion ||
        echo "RELION could not be installed: tests with it are skipped" >&2
elif [ ${#missing[@]} -gt 0 ]; then
    echo "the tests need: ${missing[*]}; install them" >&2
    exit 1
else
    echo "no relion_refine_mpi: tests with RELION are skipped" >&2
fi
