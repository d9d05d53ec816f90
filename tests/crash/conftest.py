"""Options and the way to the shared harness. These tests want the program as it is shipped: the
time of a start means nothing in an instrumented one."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "http"))
os.environ.setdefault("BERTH", str(Path(__file__).resolve().parents[2] / "build" / "berth"))


def pytest_addoption(parser):
    parser.addoption("--kills", type=int, default=int(os.environ.get("BERTH_KILLS", "15")),
                     help="how many times the kill loop kills the server")
    parser.addoption("--kill-seed", type=int, default=None, help="of the kill loop's choices")
