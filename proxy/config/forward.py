"""The forward proxy that the upstream is reached through. Its password is a secret: nothing here prints it."""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

# What other programs read, and this proxy doesn't, in either case.
VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_FORM = "must be http://[USER:PASSWORD@]HOST:PORT; special characters in user and password are percent-encoded"
_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_MALFORMED = re.compile(r"%(?![0-9a-fA-F]{2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardProxy:
    """Where it is, `http://HOST:PORT`, and the user and password that it wants, None where it wants none."""

    url: str
    login: tuple[str, str] | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """Return it as it may be shown."""
        return self.url if self.login is None else self.url.replace("://", "://***@", 1)


def read_proxy(given: object) -> object:
    """Read a ForwardProxy from its URL; what is one already, or None, stays as it is.

    Raises ValueError with a message that holds nothing of the text: a part of it that looks like a port may be the password's.
    """
    if not isinstance(given, str):
        return given
    scheme = given.partition(":")[0].lower()
    if scheme in {"https", "socks", "socks4", "socks4a", "socks5", "socks5h"}:
        raise ValueError(
            f"{scheme}:// proxies are not supported; {_FORM} (what goes through it to an https:// upstream is encrypted)"
        )
    try:
        parts = urlsplit(given)
        port = parts.port
    except ValueError:
        raise ValueError(_FORM) from None
    if not _PRINTABLE.fullmatch(given) or _MALFORMED.search(given) or scheme != "http" or not parts.hostname or not port:
        raise ValueError(_FORM)
    if parts.path not in {"", "/"} or parts.query or parts.fragment or "?" in given or "#" in given:
        raise ValueError(f"{_FORM}; nothing follows the port")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return ForwardProxy(url=f"http://{host}:{port}", login=_login(parts.username, parts.password))


def _login(user: str | None, password: str | None) -> tuple[str, str] | None:
    if user is None:
        return None
    login = unquote(user, errors="strict"), unquote(password or "", errors="strict")
    if not login[0] or ":" in login[0] or not "".join(login).isprintable():
        raise ValueError("has a user name that is empty or holds a colon, or holds control characters (RFC 7617 section 2)")
    return login
