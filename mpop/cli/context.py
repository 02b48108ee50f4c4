"""What every command shares: where the population is, how to print, how errors end.

A command is a thin function: parse, call a job, `emit` the result. Heavy libraries are imported inside the
function, so that `mpop --help` stays instant. Results are data first: `--json` prints them as they are under a
versioned `schema` key, and the text is rendered from the same data.
"""

from __future__ import annotations

import dataclasses
import datetime
import errno
import json
import logging
import math
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from mpop.cli.memory import out_of_memory
from mpop.cli.progress import progress_bars
from mpop.run import Run, silent
from mpop_store.errors import InputError, MpopError
from mpop_store.terminal import show
from mpop_store.threads import available

if TYPE_CHECKING:
    from mpop.doubts import Doubt
    from mpop.population import Population

INTERRUPTED = 130

USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[2]
"""click's base class of errors in a command line; typer brings its own copy of click and does not name it."""

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
WaitOption = Annotated[bool, typer.Option("--wait", help="Wait for jobs at work that change the same.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Go on in spite of what was doubted.")]

FirstPerImageOption = Annotated[
    bool,
    typer.Option("--first-per-image", help="Of rows of a stack's table that share an image, take the first."),
]


@dataclass
class Options:
    """The global options of this call, whether it opened a population, and whether it was interrupted."""

    directory: Path = Path(".")
    json: bool = False
    device: str = "auto"
    threads: int | None = None
    wait: bool = False
    in_population: bool = False
    interrupted: bool = False


options = Options()


def population() -> Population:
    """The population chosen by -C or the current folder."""
    from mpop.population import Population

    options.in_population = True
    here = Population.open(options.directory)
    here.waits = options.wait
    return here


def relative(path: Path) -> Path:
    """A path given on the command line, which counts from -C as in Git."""
    return path if path.is_absolute() else options.directory / path


def emit(schema: str, data: Any, text: str) -> None:
    """Print a result: `data` as JSON with --json, else `text`."""
    if options.json:
        show(_as_json({"schema": f"mpop.{schema}/v1", **_plain(data)}, indent=2))
    elif text:
        show(text)


def _as_json(data: dict[str, Any], indent: int | None = None) -> str:
    """JSON in ASCII that can be seen; of what cannot, json itself escapes all but one character."""
    return json.dumps(data, indent=indent).replace("\x7f", "\\u007f")


def _plain(value: Any) -> Any:
    """Dataclasses, pydantic models, paths and non-finite numbers as JSON knows them."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if dump := getattr(value, "model_dump", None):
        return _plain(dump(mode="json"))
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def warn(message: str) -> None:
    """One line on stderr."""
    show(f"mpop: warning: {' '.join(message.split())}", sys.stderr)


def warn_of(doubts: Iterable[Doubt]) -> None:
    """One line on stderr for each; a command has them under `doubts` in its JSON, too."""
    for doubt in doubts:
        warn(str(doubt))


class _OneLine(logging.Handler):
    """What a library or a policy logs, on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        show(" ".join(record.getMessage().split()), sys.stderr)


def main(app: Callable[[], Any]) -> NoReturn:
    """Run the application; every failure becomes one line on stderr and an exit code."""
    os.environ.setdefault(
        "OMP_WAIT_POLICY", "passive"
    )  # threads that spin take cores from others, ours among them
    _heed_interrupts()
    if not logging.root.handlers:
        logging.root.addHandler(_OneLine(logging.WARNING))
    logging.captureWarnings(True)
    try:
        _run(app)
    except BrokenPipeError:  # whoever read our output has seen enough, as in `mpop log | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _run(app: Callable[[], Any]) -> NoReturn:
    try:
        code = _in_memory(app)
        sys.stdout.flush()
    except MpopError as error:
        _fail(str(error), error.exit_code, getattr(error, "doubts", ()))
    except USAGE_ERROR as error:
        _wrong_usage(error)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        raise
    except OSError as error:
        _fail(_os_error(error), 5)
    except UnicodeEncodeError as error:  # so Python keeps bytes of the command line that are no text
        _fail(f"{error.object[:80]!r} is not text in UTF-8; write it in UTF-8", 2)
    except Exception as error:
        if options.interrupted:  # libraries of C make other errors of Ctrl-C while they are imported
            _fail(_interrupted(), INTERRUPTED)
        _fail(f"internal error: {type(error).__name__}: {error} (traceback in {_keep_traceback()})", 1)
    if code == INTERRUPTED:  # typer makes this of Ctrl-C
        _fail(_interrupted(), INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)


def _in_memory(app: Callable[[], Any]) -> Any:
    """What the application returns. A want of memory ends the call, whatever a library or a reader makes of it."""
    try:
        return app()
    except Exception as error:
        if line := out_of_memory(error):
            _fail(line, 1)
        raise


def _interrupted() -> str:
    if options.in_population:
        return "interrupted; everything committed before is safe"
    return "interrupted; no file is left half written, and those of earlier calls are still there"


def _heed_interrupts() -> None:
    """End at SIGTERM, which queues send when time is up, as at Ctrl-C, which nohup has ignored and stays so."""

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        options.interrupted = True
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)


def _wrong_usage(error: Any) -> NoReturn:
    """A wrong command line, or none at all, which asks for help."""
    message = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":
        show(message, flush=True)
        sys.exit(error.exit_code)
    path = error.ctx.command_path if error.ctx else "mpop"
    _fail(f"{message.rstrip('.')}; see `{path} --help`", error.exit_code)


def _keep_traceback() -> Path:
    """Write the traceback of the exception in hand to a file, beside the population's objects if there is one."""
    try:
        folder = population().repository.private / "log"
        folder.mkdir(exist_ok=True)
    except Exception:  # the reason of the failure may be that there is no usable population
        import tempfile

        folder = Path(tempfile.gettempdir())
    path = folder / f"mpop-{datetime.datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}.txt"
    path.write_text(f"{' '.join(sys.argv)}\n\n{traceback.format_exc()}", "utf-8", "backslashreplace")
    return path


def _os_error(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    hint = "; free some space and run the command again" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return f"{where}{error.strerror or error}{hint}"


def _fail(message: str, code: int, doubts: Sequence[Doubt] = ()) -> NoReturn:
    """End with one line. doubts: because of which the command stopped."""
    line = " ".join(message.split())
    if options.json or "--json" in sys.argv:  # a wrong command line ends before the options are read
        why = {"doubts": _plain(list(doubts))} if doubts else {}
        show(_as_json({"schema": "mpop.error/v1", "error": line, "exit_code": code, **why}))
    show(f"mpop: error: {line}", sys.stderr)
    sys.exit(code)


@contextmanager
def run(on_device: str = "") -> Iterator[Run]:
    """How this call runs, within its limits and with bars on stderr. Import what computes before.

    on_device: what of it can run elsewhere than on the processor. One line says what does
    not run on a device that was asked for by name.
    """
    threads = available() if options.threads is None else options.threads
    if threads < 1:
        raise InputError(f"--threads {threads}: at least one thread is needed")
    device = "cpu"
    if on_device:
        from mpop.jobs.environment import choose_device  # loads torch

        device = choose_device(options.device)
    if options.device not in ("auto", "cpu"):
        there = f"only {on_device} there" if on_device else "nothing of this command can run there"
        warn(f"--device {options.device}: {there}; all else runs on the processor")
    bars = progress_bars() if sys.stderr.isatty() else nullcontext(silent)  # rich takes long to load
    with bars as progress:
        made = Run(device, threads, progress)
        with made.limits():
            yield made
