"""What one request cost in things that Xen charges for."""

from pvdrivers.tools.pvbench.fio.measurement import FioResult
from pvdrivers.tools.pvbench.report.accounts import averages


def per_request(result: FioResult) -> dict[str, float]:
    """Averages over the measured run, ramp included. The suppressed notifications of the backend
    and the bytes it copied are averages over all that was asked of it."""
    front, back = result.front, result.back.stats
    return averages(
        front.front,
        back,
        front.front_accounts,
        front.back_accounts,
        done=front.front["responses"],
        carried=back["responses"],
    )
