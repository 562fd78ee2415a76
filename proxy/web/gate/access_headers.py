"""The header fields that say who may read a response: pages of which origins, and whoever sent which token."""

from aiohttp import web

from proxy.service.access.tokens import Tokens
from proxy.web.gate.cors import Cors, add_vary


class AccessHeaders:
    """Adds `Vary` and the CORS fields, so that pages of listed origins may read a response and no cache gives it to others."""

    def __init__(self, cors: Cors, tokens: Tokens) -> None:
        self._cors = cors
        self._tokens = tokens

    def add(self, response: web.StreamResponse, request: web.BaseRequest, *, to_pages: bool = True) -> None:
        """Add the fields to the response to a request; without those for pages where it isn't meant for any (`to_pages`)."""
        if self._tokens.needed:
            # What a response holds depends on the request's token.
            add_vary(response.headers, "Authorization")
        if to_pages:
            self._cors.add(response.headers, request.headers.get("Origin"))
