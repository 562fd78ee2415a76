"""`pluto-proxy completion`: a script that completes the command line in a shell."""

import sys

import shtab

from proxy.cli.arguments import make_parser


def run_completion(shell: str) -> int:
    """Print the script for a shell and return 0."""
    sys.stdout.write(shtab.complete(make_parser(), shell) + "\n")
    sys.stdout.flush()
    return 0
