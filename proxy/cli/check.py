"""`pluto-proxy check`: the configuration is validated and printed, and the files that it names are read."""

import sys

from proxy.cli.output import write_json
from proxy.config import LoadedConfig
from proxy.config.render import as_document, render
from proxy.service.access.tokens import read_token_file
from proxy.upstream.credential import read_source
from proxy.upstream.tls import ssl_context
from proxy.web.encryption.pair import read_pair


def run_check(loaded: LoadedConfig, *, as_json: bool = False) -> int:
    """Print the configuration and return 0. Raises ConfigError or TokenFileError if a file that it names cannot be used."""
    if loaded.key is not None:
        read_source(loaded.key)
    read_token_file(loaded.config.access.tokens_file)
    server = loaded.config.server
    if server.tls_cert is not None and server.tls_key is not None:
        read_pair(server.tls_cert, server.tls_key)
    ssl_context(loaded.config.upstream.ca_file)
    if as_json:
        write_json(as_document(loaded))
    else:
        sys.stdout.buffer.write(render(loaded).encode(errors="backslashreplace"))
    return 0
