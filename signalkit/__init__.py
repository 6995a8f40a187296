"""signalkit: from market bars and news to a verdict a researcher can trust.

Importing the package settles what must be settled before the numeric libraries
load: idle OpenMP threads sleep, and numba's cache lives in a folder named by the
hash of every source file of the package, so that a changed file is never served
from an old cache. `ROOT` is the project folder that holds notebooks, params, data.
"""

from __future__ import annotations

import hashlib
import os
from importlib.metadata import version
from pathlib import Path

__version__ = "0.1.0"

PACKAGE = Path(__file__).resolve().parent


def _root() -> Path:
    """Project folder: SIGNALKIT_ROOT, else the checkout, else the working directory."""
    if named := os.environ.get("SIGNALKIT_ROOT"):
        return Path(named).resolve()
    return PACKAGE.parent if (PACKAGE.parent / "pyproject.toml").exists() else Path.cwd()


def _kernel_key() -> str:
    """Hash of all package sources and numba's version: names the kernel cache."""
    seen = hashlib.sha256(version("numba").encode())
    for path in sorted(PACKAGE.rglob("*.py")):
        seen.update(str(path.relative_to(PACKAGE)).encode())
        seen.update(path.read_bytes())
    return seen.hexdigest()[:16]


ROOT = _root()
KERNELS = ROOT / ".kernels" / _kernel_key()

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ["NUMBA_CACHE_DIR"] = str(KERNELS)
if threads := os.environ.get("SIGNALKIT_THREADS"):
    os.environ["NUMBA_NUM_THREADS"] = threads
