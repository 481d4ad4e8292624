"""Figures for people."""

from rich.console import Console
from rich.table import Table

WIDTH = 110  # characters, when the output is no terminal


def time(ns: int) -> str:
    if ns < 10_000:
        return f"{ns / 1000:.1f} µs"
    if ns < 1_000_000:
        return f"{ns / 1000:.0f} µs"
    return f"{ns / 1_000_000:.1f} ms"


def count(value: float) -> str:
    if value >= 1_000_000:
        return f"{value / 1_000_000:.2f}M"
    return f"{value / 1000:.1f}k" if value >= 10_000 else f"{value:.0f}"


def small(value: float) -> str:
    return "0" if value == 0 else f"{value:.2g}" if value < 0.995 else f"{value:.2f}"


def rendered(*tables: Table) -> str:
    """As they look on this terminal; rich itself would end the program where a pipe is closed."""
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    with console.capture() as captured:
        console.print(*tables, sep="\n")
    return captured.get()
