"""What operations cost in things that Xen charges for, as a table."""

from collections.abc import Callable, Iterable, Mapping

from rich.table import Table

from pvdrivers.tools.figures import small

Costs = Mapping[str, float]  # as `averages` gives them


def _pair(costs: Costs, name: str) -> str:
    return f"{small(costs[f'{name}_sent'])} / {small(costs[f'{name}_suppressed'])}"


COLUMNS: dict[str, Callable[[Costs], str]] = {
    "front notifies\nsent / saved": lambda costs: _pair(costs, "front_notifications"),
    "back notifies\nsent / saved": lambda costs: _pair(costs, "back_notifications"),
    "grant\nmaps": lambda costs: small(costs["grant_maps"]),
    "grant\ncopies": lambda costs: small(costs["grant_copies"]),
    "bytes copied\nfront + back": lambda costs: (
        f"{costs['front_bytes_copied']:.0f} + {costs['back_bytes_copied']:.0f}"
    ),
    "hypercalls": lambda costs: small(costs["hypercalls"]),
}


def costs_table(title: str, rows: Iterable[tuple[str, Costs]], *, maps: bool) -> Table:
    """A row for each workload; `maps`: with the grants mapped."""
    columns = {name: cell for name, cell in COLUMNS.items() if maps or name != "grant\nmaps"}
    table = Table(title=title, title_justify="left")
    table.add_column("workload")
    for name in columns:
        table.add_column(name, justify="right")
    for workload, costs in rows:
        table.add_row(workload, *(cell(costs) for cell in columns.values()))
    return table
