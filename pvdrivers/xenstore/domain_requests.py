"""What each request about domains, features, quotas and the server itself does."""

from pvdrivers.xenstore import paths
from pvdrivers.xenstore.domains import DOMID_FIRST_RESERVED
from pvdrivers.xenstore.errors import XenstoreError
from pvdrivers.xenstore.quotas import QUOTAS
from pvdrivers.xenstore.requests import OK, Request, number
from pvdrivers.xenstore.wire import joined

CONTROL_COMMANDS = ("check", "help", "quota")


def require_privilege(request: Request) -> None:
    if not request.domain.privileged:
        raise XenstoreError("EACCES", "for domain 0 only")


def domid_of(argument: bytes) -> int:
    """A real domain's id. XenstoreError EINVAL for anything else."""
    return number(argument, DOMID_FIRST_RESERVED - 1)


def introduce(request: Request) -> bytes:
    require_privilege(request)
    domid, gfn, port, *_ = request.arguments(3)
    # The frame is a signed decimal, for the sake of toolstacks long gone.
    sign, digits = (-1, gfn[1:]) if gfn.startswith(b"-") else (1, gfn)
    if not digits.isdigit() or len(digits) > 20:
        raise XenstoreError("EINVAL", "frame")
    request.store.introduce(domid_of(domid), sign * int(digits), number(port))
    return OK


def release(request: Request) -> bytes:
    require_privilege(request)
    (argument,) = request.arguments(1, 1)
    request.store.release(domid_of(argument))
    return OK


def resume(request: Request) -> bytes:
    require_privilege(request)
    (argument,) = request.arguments(1, 1)
    request.store.known_domain(domid_of(argument)).shutdown = False
    return OK


def set_target(request: Request) -> bytes:
    require_privilege(request)
    domid, target = map(domid_of, request.arguments(2, 2))
    for each in (domid, target):
        request.store.known_domain(each)
    request.store.known_domain(domid).target = target
    return OK


def get_domain_path(request: Request) -> bytes:
    (argument,) = request.arguments(1, 1)
    return joined(paths.home(number(argument, 0xFFFF)).encode())


def is_domain_introduced(request: Request) -> bytes:
    require_privilege(request)
    (argument,) = request.arguments(1, 1)
    domain = request.store.domains.get(number(argument, 0xFFFF))
    return b"T\0" if domain and domain.introduced else b"F\0"


def get_feature(request: Request) -> bytes:
    """Without a domid: what the asking domain has. With one: dom0 only."""
    arguments = request.arguments(0, 1)
    if not arguments or not arguments[0]:
        return b"%d\0" % request.domain.features
    require_privilege(request)
    return b"%d\0" % request.store.known_domain(domid_of(arguments[0])).features


def set_feature(request: Request) -> bytes:
    require_privilege(request)
    domid, value = request.arguments(2, 2)
    domain = request.store.domain(domid_of(domid))
    if domain.introduced or domain.privileged:
        raise XenstoreError("EBUSY", "after INTRODUCE")
    features = number(value)
    if features & ~request.store.features:
        raise XenstoreError("EINVAL", "feature not supported")
    domain.features = features
    return OK


def get_quota(request: Request) -> bytes:
    """No argument: the names. A name: the default. A domid and a name: that domain's."""
    require_privilege(request)
    arguments = [argument for argument in request.arguments(0, 2) if argument]
    if not arguments:
        return joined(" ".join(QUOTAS).encode())
    quotas = request.store.quotas
    if len(arguments) == 2:
        quotas = request.store.known_domain(domid_of(arguments[0])).quotas
    return b"%d\0" % quotas.get(arguments[-1].decode("latin-1"))


def set_quota(request: Request) -> bytes:
    require_privilege(request)
    *domid, name, value = request.arguments(2, 3)
    quotas = request.store.domain(domid_of(domid[0])).quotas if domid else request.store.quotas
    quotas.set(name.decode("latin-1"), number(value))
    return OK


def control(request: Request) -> bytes:
    require_privilege(request)
    command, *parameters = request.arguments(1)
    match command:
        case b"check":
            faults = request.store.check()
            return joined("\n".join(faults).encode()) if faults else OK
        case b"help":
            return joined("\n".join(CONTROL_COMMANDS).encode())
        case b"quota":
            return joined(_quota_report(request, parameters).encode())
    raise XenstoreError("EINVAL", "no such command")


def _quota_report(request: Request, parameters: list[bytes]) -> str:
    """The limits and, with a domid, what that domain uses."""
    if not parameters:
        quotas = request.store.quotas
        return "\n".join(f"{name}: {quotas.get(name)}" for name in QUOTAS)
    domain = request.store.known_domain(domid_of(parameters[0]))
    return f"{domain}, {request.store.view.nodes_of(domain.domid)} nodes"
