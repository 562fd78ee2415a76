"""Runs `python -m proxy` from the code in the folder that BENCH_CODE names: the proxy as it was at an earlier commit."""

import os
import runpy
import sys

if __name__ == "__main__":
    # Before the folder that this was started in.
    sys.path.insert(0, os.environ["BENCH_CODE"])
    runpy.run_module("proxy", run_name="__main__", alter_sys=True)
