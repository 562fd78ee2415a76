"""Presigned URLs, as an object store gives them: who has one needs no key, for five days."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

PREFIX = "/storage/"
VALID_S = 5 * 86_400
# The upstream hands out the same URL again for a day.
RENEWED_EACH_S = 86_400
_SECRET = b"standin-storage"
_ALGORITHM = "AWS4-HMAC-SHA256"
_TIME = "%Y%m%dT%H%M%SZ"


def path_of(key: str) -> str:
    """The path at which the store keeps an object; slashes in its key stay."""
    return PREFIX + quote(key, safe="/-_.~")


def sign(method: str, path: str, now_s: float) -> str:
    """The query that opens a path for a method; the same for a whole day (UTC)."""
    date = datetime.fromtimestamp(now_s - now_s % RENEWED_EACH_S, UTC).strftime(_TIME)
    return urlencode(
        {
            "X-Amz-Algorithm": _ALGORITHM,
            "X-Amz-Credential": f"standin/{date[:8]}/auto/s3/aws4_request",
            "X-Amz-Date": date,
            "X-Amz-Expires": str(VALID_S),
            "X-Amz-SignedHeaders": "host",
            "X-Amz-Signature": _signature(method, path, date),
        }
    )


def opens(method: str, path: str, query: Mapping[str, Sequence[str]], now_s: float) -> bool:
    """Whether a decoded query opens a path for a method now."""
    date, signature = ((query.get(name) or [""])[0] for name in ("X-Amz-Date", "X-Amz-Signature"))
    if not hmac.compare_digest(_signature(method, path, date).encode(), signature.encode()):
        return False
    signed_s = datetime.strptime(date, _TIME).replace(tzinfo=UTC).timestamp()
    return now_s < signed_s + VALID_S


def _signature(method: str, path: str, date: str) -> str:
    return hmac.new(_SECRET, f"{_ALGORITHM}\n{method}\n{path}\n{date}".encode(), hashlib.sha256).hexdigest()
