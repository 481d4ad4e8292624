"""What a domain may do by a node's permissions, and by those of the two special names."""

from collections.abc import Mapping

from pvdrivers.xenstore.domains import StoreDomain
from pvdrivers.xenstore.errors import XenstoreError
from pvdrivers.xenstore.permissions import DOMID_ANY, Access, Permission, Permissions

INTRODUCE_DOMAIN = "@introduceDomain"
RELEASE_DOMAIN = "@releaseDomain"
DOM0_ONLY = Permissions((Permission(Access.NONE, 0),))


class Rights:
    """The rules of access of one store; `domains` are those that the store knows now."""

    def __init__(self, domains: Mapping[int, StoreDomain]) -> None:
        self._domains = domains
        self._special = {INTRODUCE_DOMAIN: DOM0_ONLY, RELEASE_DOMAIN: DOM0_ONLY}

    def entry_valid(self, entry: Permission, given_at: int) -> bool:
        """Whether the entry is still for the domain it was given to."""
        if entry.domid in (0, DOMID_ANY):
            return True
        domain = self._domains.get(entry.domid)
        return domain is not None and domain.born <= given_at

    def access(self, domain: StoreDomain, permissions: Permissions) -> Access:
        """What the domain, or the one it targets, may do by these permissions."""
        if domain.privileged:
            return Access.ALL
        who = (domain.domid, domain.target)
        owner = permissions.entries[0]
        if owner.domid in who and self.entry_valid(owner, permissions.given_at):
            return Access.ALL
        for entry in permissions.named:
            if entry.domid in who and self.entry_valid(entry, permissions.given_at):
                return entry.access
        for entry in permissions.named:
            if entry.domid == DOMID_ANY:
                return entry.access
        return owner.access

    def may_read(self, domain: StoreDomain, permissions: Permissions) -> bool:
        return bool(self.access(domain, permissions) & Access.READ)

    def special_permissions(self, name: str) -> Permissions:
        """XenstoreError ENOENT when there is no such special name."""
        found = self._special.get(name) or self._special.get(name.partition("/")[0])
        if found is None:
            raise XenstoreError("ENOENT", name)
        return found

    def set_special_permissions(
        self, domain: StoreDomain, name: str, permissions: Permissions
    ) -> None:
        """`name` may end in /domid, for the release of that domain alone.

        XenstoreError ENOENT, EACCES for all but dom0, EINVAL when the domain is not known.
        """
        self.special_permissions(name)
        if not domain.privileged:
            raise XenstoreError("EACCES", name)
        base, slash, domid = name.partition("/")
        if slash and (base != RELEASE_DOMAIN or not self._is_known(domid)):
            raise XenstoreError("EINVAL", name)
        self._special[name] = permissions

    def forget_special(self, domid: int) -> None:
        """Drops what was set for the release of a domain that is gone."""
        self._special.pop(f"{RELEASE_DOMAIN}/{domid}", None)

    def _is_known(self, domid: str) -> bool:
        return domid.isascii() and domid.isdigit() and int(domid[:6]) in self._domains
