"""Who sent a request, and whether they may ask at all. Each request is judged anew, before anything else is done about it.

Where neither networks nor tokens are configured nothing is looked at: what a client sends in `Authorization` plays no part.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web

from proxy.clock import Clock
from proxy.core.access.grants import ANYBODY, Grant, read_bearer
from proxy.core.access.networks import UNIX, Networks, Source, client_address, read_address
from proxy.errors import AdminRefused, BadRequest, NetworkRefused, ScopeRefused, Unauthorized
from proxy.service.access.tokens import Tokens
from proxy.settings import Settings
from proxy.web.gate.hosts import AllowedHosts
from proxy.web.reading.targets import read_target

# The fields that a forwarding proxy adds to a request, and how the names of others begin.
_FORWARDED = frozenset({"forwarded", "via", "x-real-ip"})
_FORWARDED_STEM = "x-forwarded-"
_MISSING = (
    "this proxy answers those who send one of its tokens, as `Authorization: Bearer ppt_...`; its operator gives them out"
)
_NOT_KNOWN = "the token is not one of this proxy's, or was revoked; its operator gives out new ones"
_EXPIRED = "the token has expired; the proxy's operator gives out new ones"


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Who sent a request, from which address (`""` where nobody looked), and why it is refused (None where it isn't).

    The address is UNIX for who has connected to a Unix socket. `version`: that of the settings by which it was judged
    (`Settings.version`).
    """

    version: int
    grant: Grant = ANYBODY
    address: str = ""
    refusal: BadRequest | None = None

    def check(self) -> None:
        """Raise the refusal, if there is one."""
        if self.refusal is not None:
            raise self.refusal

    def check_network(self) -> None:
        """Raise the refusal, if it is for the network that the request comes from."""
        if isinstance(self.refusal, NetworkRefused):
            raise self.refusal

    def check_unlimited(self) -> None:
        """Raise ScopeRefused for a token that is limited to projects: counts tell whether others' questions have answers."""
        if self.grant.projects is not None:
            raise ScopeRefused(
                "this token is limited to projects: what is told about the proxy as a whole takes one that isn't"
            )


class Guard:
    """Judges requests by address and token."""

    def __init__(self, settings: Settings, tokens: Tokens, hosts: AllowedHosts, clock: Clock) -> None:
        self._settings = settings
        self._tokens = tokens
        self._hosts = hosts
        self._clock = clock
        settings.follow(self._renew)

    def _renew(self) -> None:
        access = self._settings.now.access
        self._networks, self._trusted = Networks(access.networks), Networks(access.trusted_proxies)
        self._looks_at_addresses = bool(self._networks or self._trusted)
        self._open = not self._tokens.needed and not self._looks_at_addresses
        self._any_visit = Visit(version=self._settings.version)

    def judge(self, request: web.BaseRequest) -> Visit:
        """Judge a request."""
        if self._open:
            return self._any_visit
        address, version = "", self._settings.version
        if self._looks_at_addresses:
            found = self._address(request)
            if self._networks and found not in self._networks:
                reason = f"the request comes from {_named(found)}, which is in none of access.networks"
                return Visit(version=version, refusal=NetworkRefused(reason))
            address = "" if found is None else str(found)
        try:
            grant = self._grant(request.headers.getall("Authorization", ()))
            return Visit(version=version, grant=grant, address=address)
        except Unauthorized as exc:
            return Visit(version=version, address=address, refusal=exc)

    def judge_again(self, request: web.BaseRequest, before: Visit) -> Visit:
        """Judge a request once more, after it waited.

        Meanwhile its token may have been revoked, its grant changed, or the settings switched. Raises Unauthorized unless the
        one who asks may still see what they might see `before`, NetworkRefused and WrongHost as for a request that came now.
        """
        again = self.judge(request)
        again.check()
        if again.version != before.version:
            self._hosts.check(read_target(request).hosts)
        if again.grant.visibility != before.grant.visibility:
            raise Unauthorized("what the token may see was changed a moment ago; ask again", given=True)
        return again

    def check_admin(self, visit: Visit, request: web.BaseRequest) -> None:
        """Raise AdminRefused unless the sender may manage the proxy: an admin or, without tokens, anybody on this machine.

        A request that was forwarded does not count as coming from this machine, even by a trusted proxy: one that passes on
        what a client wrote would let anybody manage. Trusted proxies are believed only about who may read.
        """
        if self._tokens.needed:
            if not visit.grant.admin or visit.grant.projects is not None:
                raise AdminRefused("managing the proxy takes a token made with --admin, and without --project")
            return
        if not _is_here(request.remote or "") or any(map(_tells_of_forwarding, request.headers)):
            raise AdminRefused("without tokens the proxy is managed from its own machine only, and directly")

    @property
    def generation(self) -> int:
        """A number that changes whenever a request may be judged otherwise. It never comes back."""
        return self._settings.version + self._tokens.generation

    def stands(self, visit: Visit) -> bool:
        """Tell whether a request that was judged before would be judged alike now, if the generation is still the same."""
        return visit.refusal is None and visit.grant.expires_at_s > self._clock.now_s()

    def _grant(self, lines: Sequence[str]) -> Grant:
        if not self._tokens.needed:
            return ANYBODY
        try:
            token = read_bearer(lines)
        except ValueError as exc:
            raise Unauthorized(str(exc), given=True) from None
        if token is None:
            raise Unauthorized(_MISSING, given=False)
        grant = self._tokens.grant(token)
        if grant is None:
            raise Unauthorized(_NOT_KNOWN, given=True)
        if grant.expires_at_s <= self._clock.now_s():
            raise Unauthorized(_EXPIRED, given=True)
        return grant

    def _address(self, request: web.BaseRequest) -> Source | None:
        return client_address(request.remote or "", request.headers.getall("X-Forwarded-For", ()), self._trusted)


def _named(source: Source | None) -> str:
    if source is None:
        return "an address that cannot be told"
    return "a Unix socket" if source == UNIX else str(source)


def _is_here(peer: str) -> bool:
    """Tell whether a connection comes from this machine."""
    address = read_address(peer)
    return peer == UNIX or (address is not None and address.is_loopback)


def _tells_of_forwarding(name: str) -> bool:
    name = name.lower()
    return name in _FORWARDED or name.startswith(_FORWARDED_STEM)
