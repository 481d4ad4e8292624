"""What the store knows of a domain, and what the domain uses of the store."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from pvdrivers.xenstore.quotas import Quotas
from pvdrivers.xenstore.tree import Node

DOMID_FIRST_RESERVED = 0x7FF0


@dataclass(slots=True)
class Usage:
    """What counts against a domain's quotas, beside nodes; it ends with the domain (XSA-483)."""

    watches: int = 0
    watch_bytes: int = 0
    transactions: int = 0
    transaction_bytes: int = 0
    output_bytes: int = 0

    @property
    def memory(self) -> int:
        """Bytes held for the domain, its nodes not counted."""
        return self.watch_bytes + self.transaction_bytes + self.output_bytes


@dataclass(slots=True)
class StoreDomain:
    """A domain from its first mention until its release.

    `born` is the store's generation then: permissions given earlier to the same domid were for
    another domain.
    """

    domid: int
    born: int
    quotas: Quotas
    features: int
    introduced: bool = False
    shutdown: bool = False
    target: int | None = None
    credit: float = 0.0  # changes it may still make, when a clock limits it
    credit_time: float = 0.0  # seconds, when `credit` was computed
    over_soft_limit: bool = False
    usage: Usage = field(default_factory=Usage)
    privileged: bool = field(init=False)

    def __post_init__(self) -> None:
        self.privileged = self.domid == 0

    def exceeds(self, quota: str, value: int) -> bool:
        """Whether `value` is more than this domain may have."""
        return not self.privileged and self.quotas.exceeded(quota, value)

    def __str__(self) -> str:
        usage = self.usage
        return (
            f"domain {self.domid}: {usage.watches} watches, {usage.transactions} transactions, "
            f"{usage.memory} bytes"
            f"{', introduced' if self.introduced else ''}{', shut down' if self.shutdown else ''}"
        )


class NodeCounts:
    """Nodes and their bytes by owner, of the whole tree or as one transaction's difference."""

    def __init__(self) -> None:
        self.nodes: dict[int, int] = {}
        self.bytes: dict[int, int] = {}

    def add(self, node: Node, sign: int = 1) -> None:
        owner = node.permissions.entries[0].domid
        self.nodes[owner] = self.nodes.get(owner, 0) + sign
        self.bytes[owner] = self.bytes.get(owner, 0) + sign * node.size

    def replace(self, old: Node | None, new: Node | None) -> None:
        if old is not None:
            self.add(old, -1)
        if new is not None:
            self.add(new)

    def owners(self) -> Iterable[int]:
        return self.nodes
