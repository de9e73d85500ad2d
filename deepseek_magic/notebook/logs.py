"""``%deepseek_log``: what the calls of this session cost and how fast they were."""

from __future__ import annotations

from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.display import display

from ..protocol.errors import ConfigurationError
from .files import free_path
from .flags import arguments

__all__ = ["LogMagics"]


@magics_class
class LogMagics(Magics):
    """Shows the log."""

    @magic_arguments()
    @argument("--window", type=float, metavar="SECONDS", help="sum up only the calls of the last so many seconds")
    @argument(
        "--plot",
        nargs="?",
        const="latency",
        metavar="KIND",
        help="draw a picture instead: latency (if no kind is named), speed, or waterfall (of the last call)",
    )
    @argument("--csv", metavar="FILE", help="write all calls to FILE.csv instead of showing them")
    @argument("--overwrite", action="store_true", help="let --csv replace a file")
    @line_magic
    def deepseek_log(self, line: str) -> None:
        """Show the calls of this session, their sums, and whether the service levels were met.

        The same as a table for programs is ds.log: ds.log.to_pandas(), ds.log.summary(600), ds.log.plot("speed").
        """
        from ..session import session

        typed = arguments(self.deepseek_log, line)
        log = session().log
        if typed.csv is not None:
            path = free_path(typed.csv, (".csv",), overwrite=typed.overwrite)
            log.to_csv(path)
            print(f"{len(log):,} call{'' if len(log) == 1 else 's'} written to {path}.")
        elif not len(log):
            print("No call has been made in this session yet.")
        elif typed.plot is not None:
            try:
                display(log.plot(typed.plot, window_s=typed.window))
            except (ValueError, ImportError) as error:
                raise ConfigurationError(str(error)) from None
        else:
            display(log, log.summary(typed.window))
