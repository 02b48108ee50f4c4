"""Options that several commands share, declared once: a parameter that is a dataclass stands for its fields."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from inspect import Parameter, Signature, signature
from typing import Any, get_type_hints

from mpop.cli import context
from mpop.cli.context import JsonOption


def flat(command: Callable[..., None]) -> Callable[..., None]:
    """The command as typer reads it: every field of a parameter that is a dataclass is an option, declared by an
    annotation as typer has them, and `--json` is the last of all."""
    hints = get_type_hints(command, include_extras=True)
    groups = {name: hint for name, hint in hints.items() if isinstance(hint, type) and is_dataclass(hint)}
    options: list[Parameter] = []
    for name, one in signature(command).parameters.items():
        group = groups.get(name)
        own = [one.replace(kind=Parameter.KEYWORD_ONLY, annotation=hints[name])]
        options += own if group is None else _options_of(group)
    options.append(Parameter("json", Parameter.KEYWORD_ONLY, default=False, annotation=JsonOption))

    def call(**given: Any) -> None:
        context.options.json |= given.pop("json")
        made = {
            name: group(**{one.name: given.pop(one.name) for one in fields(group)})
            for name, group in groups.items()
        }
        command(**made, **given)

    call.__name__, call.__doc__ = command.__name__, command.__doc__
    call.__annotations__ = {one.name: one.annotation for one in options}
    call.__signature__ = Signature(options)  # pyright: ignore[reportFunctionMemberAccess]
    return call


def _options_of(group: type) -> Iterator[Parameter]:
    hints = get_type_hints(group, include_extras=True)
    for one in fields(group):
        default = Parameter.empty if one.default is MISSING else one.default
        yield Parameter(one.name, Parameter.KEYWORD_ONLY, default=default, annotation=hints[one.name])
