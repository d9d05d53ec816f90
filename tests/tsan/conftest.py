"""The way to the harness of tests/http, and to the program that reports data races."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "http"))
os.environ.setdefault("BERTH", str(ROOT / "build" / "tsan" / "berth"))
