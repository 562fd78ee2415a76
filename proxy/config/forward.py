"""The setting upstream.proxy: the forward proxy that leads to the upstream. Its password is a secret and is never printed."""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

# The variables, in upper or lower case, that set a proxy for other programs. This proxy does not read them.
PROXY_VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_FORM = "must be http://[USER:PASSWORD@]HOST:PORT; special characters in user and password are percent-encoded"
_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_MALFORMED = re.compile(r"%(?![0-9a-fA-F]{2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardProxy:
    """Its address as `http://HOST:PORT`, and the user and password for it, None if it needs none."""

    url: str
    login: tuple[str, str] | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """Return the address, with *** in place of user and password."""
        return self.url if self.login is None else self.url.replace("://", "://***@", 1)


def read_proxy(given: object) -> object:
    """Read a ForwardProxy from its URL. Return anything but a string as it is.

    Raises ValueError. The message quotes nothing of the URL: what looks like its port may be a part of the password.
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
