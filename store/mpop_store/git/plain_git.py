"""A population in the hands of plain Git: what is safe works, what bypasses the rules is stopped with a sentence.

`git log`, `diff`, `fsck`, `clone` and `status` work on the records. `git commit`, `git merge` and a `git push`
into a population would put records there that no policy has seen and whose arrays are not in the store; hooks
stop them. mpop itself writes through libgit2, which runs none.
"""

from __future__ import annotations

import logging
from pathlib import Path

import pygit2

MARK = "# Installed by mpop"

README = """# An mpop population

This repository holds the records of a population of macromolecules: which raw data, which species, what was
done to them. Git shows them: `git log`, `git diff` and `git clone` work. What changes them is mpop.

The arrays that the records name (maps, particles, models) are in the population's own store, where Git does not
look. If you came here by plain `git clone`, get them in either way:

    mpop fetch                        in this folder, or
    mpop clone <where this came from>

and then `mpop log --graph`, `mpop diff HEAD~1`, `mpop verify`.
"""

HOOKS = {
    "pre-commit": "this is an mpop population: run `mpop commit -m ...` instead, which checks what it commits.",
    "pre-merge-commit": "this is an mpop population: run `mpop merge` instead, which merges species and series.",
    "pre-receive": "this is an mpop population: run `mpop push` instead, which sends the arrays as well.",
}
"""Hook -> what it says to whoever runs plain Git."""

HOOK = """#!/bin/sh
{mark} to keep plain Git from bypassing the population's rules.
echo 'mpop: {sentence}' >&2
exit 1
"""


def install_hooks(git_directory: Path) -> list[str]:
    """Put the hooks where there are none; a hook of the user's own stays. Returns the names of those put there."""
    folder = git_directory / "hooks"
    folder.mkdir(exist_ok=True)
    installed: list[str] = []
    for name, sentence in HOOKS.items():
        path = folder / name
        try:
            with path.open("x") as file:
                file.write(HOOK.format(mark=MARK, sentence=sentence))
        except FileExistsError:
            continue
        path.chmod(0o755)
        installed.append(name)
    return installed


def warn_of_hooks_elsewhere(git: pygit2.Repository) -> None:
    """Say so if Git looks for hooks in another folder, where those that protect a population are not."""
    values = [value for value in git.config.get_multivar("core.hooksPath") if value]
    if not values:
        return
    own = Path(git.path) / "hooks"
    used = Path(git.path if git.is_bare else git.workdir) / Path(values[-1]).expanduser()
    if not all((used / name).is_file() for name in HOOKS):
        logging.getLogger("mpop").warning(
            "mpop: warning: core.hooksPath is %s, so plain Git is not kept from bypassing the population's rules; "
            "`git config core.hooksPath %s` here turns its own hooks on again",
            values[-1],
            own,
        )
