#!/usr/bin/env bash
# Programs that the tests talk to and that are not Python packages: Git, and an ssh server. Installs what is missing
# where that is possible (Debian, as root); elsewhere says what to install.
set -euo pipefail

missing=()
command -v git >/dev/null || missing+=(git)
command -v ssh >/dev/null || missing+=(openssh-client)
command -v sshd >/dev/null || [ -x /usr/sbin/sshd ] || missing+=(openssh-server)
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # no server of the machine's own is to be started
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d
    apt-get install -y -qq --no-install-recommends "${missing[@]}"
    rm -f /usr/sbin/policy-rc.d
else
    echo "the tests need: ${missing[*]}; install them" >&2
    exit 1
fi
