"""Benchmarks of paravirtual devices on a simulated machine."""

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cyclopts import App, CycloptsError

import pvdrivers
from pvdrivers.ring.errors import PeerError
from pvdrivers.tools.command_line import add_documentation
from pvdrivers.tools.pvbench.compare.command import compare
from pvdrivers.tools.pvbench.errors import BenchError, OptionError
from pvdrivers.tools.pvbench.fio.run_options import FioRunOptions
from pvdrivers.tools.pvbench.job import command
from pvdrivers.tools.pvbench.job.command_line import Settings, as_given
from pvdrivers.tools.pvbench.job.device_bench import DeviceBench
from pvdrivers.tools.pvbench.scsi.bench import ScsiBench
from pvdrivers.tools.pvbench.scsi.options import ScsiOptions
from pvdrivers.tools.pvbench.vbd.bench import VbdBench
from pvdrivers.tools.pvbench.vbd.options import VbdOptions
from pvdrivers.tools.pvbench.vnif.bench import VnifBench
from pvdrivers.tools.pvbench.vnif.options import VnifOptions
from pvdrivers.tools.pvbench.vnif.run_options import VnifRunOptions

app = App(name="pvbench", help=__doc__, version=pvdrivers.__version__)

app.command(compare)
add_documentation(app)

VBD = VbdBench()
SCSI = ScsiBench()
VNIF = VnifBench()
NO_VBD_OPTIONS = VbdOptions()
NO_SCSI_OPTIONS = ScsiOptions()
NO_FIO_RUN_OPTIONS = FioRunOptions()
NO_VNIF_OPTIONS = VnifOptions()
NO_VNIF_RUN_OPTIONS = VnifRunOptions()


@app.command
def vbd(
    *job_files: Path,
    options: VbdOptions = NO_VBD_OPTIONS,
    run: FioRunOptions = NO_FIO_RUN_OPTIONS,
) -> tuple[VbdOptions, FioRunOptions]:
    """Measures a block device: a guest's blkfront, a ring, a backend and its store.

    Names, units and defaults are fio's, and so are job files. Without rw and job files a set of
    workloads runs, on the image if one is named.

    Parameters
    ----------
    job_files
        Job files of fio. Each job is a guest of its own.
    """
    return options, run


@app.command
def scsi(
    *job_files: Path,
    options: ScsiOptions = NO_SCSI_OPTIONS,
    run: FioRunOptions = NO_FIO_RUN_OPTIONS,
) -> tuple[ScsiOptions, FioRunOptions]:
    """Measures a disk of a SCSI host: a guest's scsifront, a ring, a backend and the disk's store.

    Options and job files are those of vbd, but for the device.

    Parameters
    ----------
    job_files
        Job files of fio. Each job is a guest of its own.
    """
    return options, run


@app.command
def vnif(
    *job_files: Path,
    options: VnifOptions = NO_VNIF_OPTIONS,
    run: VnifRunOptions = NO_VNIF_RUN_OPTIONS,
) -> tuple[VnifOptions, VnifRunOptions]:
    """Measures a network device: guests' netfronts, rings, a backend and its uplink.

    Without direction, requests and job files a set of workloads runs.

    Parameters
    ----------
    job_files
        Job files in fio's format. Each job is a machine of its own.
    """
    return options, run


BENCHES: dict[str, DeviceBench] = {bench.name: bench for bench in (VBD, SCSI, VNIF)}


class Parser:
    """Reads the options of a device class."""

    def __init__(self, bench: DeviceBench) -> None:
        self._bench = bench

    def _parse(self, settings: Settings) -> tuple[Any, Any]:
        parsed: tuple[Any, Any] = app(
            [self._bench.name, *self._bench.options.tokens(settings)],
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
        return parsed

    def options(self, settings: Settings) -> Any:
        try:
            options, _ = self._parse(settings)
        except CycloptsError as error:
            raise OptionError(" ".join(str(error).split())) from None
        return replace(options, given=as_given(settings))

    def run_options(self, settings: Settings) -> Any:
        return self._parse(settings)[1]


def _dispatch(arguments: Sequence[str]) -> Any:
    if arguments and arguments[0] in BENCHES and not {"-h", "--help"} & set(arguments):
        bench = BENCHES[arguments[0]]
        parser = Parser(bench)
        return command.measure(bench, arguments[1:], parser.options, parser.run_options)
    return app(arguments, exit_on_error=False, print_error=False, result_action="return_value")


def run(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0, 1 for a failed benchmark, 2 for an invalid option or image."""
    try:
        code = _dispatch(sys.argv[1:] if arguments is None else list(arguments))
    except CycloptsError as error:
        print(f"pvbench: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except OptionError as error:
        print(f"pvbench: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader of a pipe has closed it: that is no error, and the interpreter must not try
        # to write the rest when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except (BenchError, PeerError, OSError) as error:
        print(f"pvbench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return command.INTERRUPTED
    return code if isinstance(code, int) else 0


def main() -> None:
    sys.exit(run())


if __name__ == "__main__":
    main()
