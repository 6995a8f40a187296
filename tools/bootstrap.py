"""Bootstrap: makes .venv from a lock file, given nothing but a Python.

The file .venv/.stamp exists only over a finished environment and says what it was
made from. A failure ends in one sentence; the installer's words go to a log.

Versions belong to the lock files, compiled kernels to tools/warm.py. The syntax is
kept to Python 3.6, so that an old Python is told its age and not a syntax error.
"""

import argparse
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

LOCKS = {"cpu": "requirements.lock", "gpu": "requirements-gpu.lock"}
ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / ".stamp"
PYTHON = str(VENV / "bin" / "python")
TOOLS = ROOT / ".bootstrap"
LOG = TOOLS / "setup.log"

UNREACHABLE = (  # as uv says it, as pip does
    r"Failed to fetch|Request failed after|response body|network was disabled"
    r"|after connection broken by|Max retries exceeded|Read timed out"
)
# the installer's words, and ours for them; the first that fits is said
CAUSES = {
    r"No space left on device|Disk quota exceeded": (
        "the disk is full: an environment takes 3 GB, free them and run make setup again"
    ),
    r"(?:Hash mismatch for `|DO NOT MATCH THE HASHES.*\n\s+)([\w.=-]+)": (
        "{} is not what its hash in the lock file says: take another index or mirror"
    ),
    UNREACHABLE: (
        "the package index cannot be reached: connect, or name a folder of wheels in"
        " PIP_FIND_LINKS or UV_FIND_LINKS"
    ),
    r"(?:Because (?=\S+ has no )|No matching distribution found for )([\w.-]+==[\w.]+)": (
        "{} has no wheel for this Python and platform: name another Python from 3.11 on,"
        " for example make setup PYTHON=python3.12"
    ),
}


class Stop(Exception):
    """What was found and the way out, in a sentence for the person at the keyboard."""


def explain(words, doing):
    """Return our sentence for what an installer said while `doing` something."""
    for pattern, sentence in CAUSES.items():
        hit = re.search(pattern, words)
        if hit:
            return sentence.format(*hit.groups()) + "; more in .bootstrap/setup.log"
    said = words.strip().splitlines() or ["nothing was said"]
    return f"{doing} failed: {said[-1].strip()}; more in .bootstrap/setup.log"


def check_python(found):
    """Raise unless the version tuple `found` is one signalkit runs on."""
    if not (3, 11) <= tuple(found[:2]) <= (3, 13):
        raise Stop(
            "python3 is {}.{}.{}; signalkit needs 3.11 to 3.13: install one and name it,"
            " for example make setup PYTHON=python3.12".format(*found)
        )


def check_venv():
    """Raise unless this Python can make an environment that has pip."""
    lacking = [name for name in ("venv", "ensurepip") if not importlib.util.find_spec(name)]
    if lacking:
        raise Stop(
            f"python3 has no {lacking[0]} module, and neither PATH nor pip has uv: install one"
            " (Debian and Ubuntu: apt-get install python3-venv) and run make setup again"
        )


def environment():
    """Return the installers' environment: what was said to pip is said to uv, and back."""
    env = dict(os.environ, UV_PYTHON_DOWNLOADS="never", PIP_REQUIRE_VIRTUALENV="0")
    env["PIP_RETRIES"] = "2"  # with none, pip does not say that the index is unreachable
    folders = [path for path in env.get("PIP_FIND_LINKS", "").split() if os.path.isdir(path)]
    if folders:
        env.setdefault("UV_FIND_LINKS", ",".join(folders))
    if "UV_FIND_LINKS" in env:
        env.setdefault("PIP_FIND_LINKS", env["UV_FIND_LINKS"].replace(",", " "))
    if "PIP_INDEX_URL" in env:
        env.setdefault("UV_INDEX_URL", env["PIP_INDEX_URL"])
    return env


def attempt(command, env):
    """Run an installer; return its exit status and its words, which go to the log alone."""
    with LOG.open("a+", encoding="utf-8", errors="replace") as log:
        start = log.tell()
        quiet = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
        status = subprocess.call(command, cwd=str(ROOT), env=env, **quiet)
        log.seek(start)
        return status, log.read()


def run(command, env, doing):
    """Run an installer or raise; where no index answers, try the wheel folder alone."""
    status, words = attempt(command, env)
    if status and "UV_FIND_LINKS" in env and re.search(UNREACHABLE, words):
        env.update(UV_OFFLINE="1", PIP_NO_INDEX="1")
        status, words = attempt(command, env)
    if status:
        raise Stop(explain(words, doing))


def find_uv(env):
    """Return the path of uv, on PATH or fetched into .bootstrap; None if there is none."""
    own = TOOLS / "bin" / "uv"
    found = shutil.which("uv") or (str(own) if own.exists() else None)
    if not found and importlib.util.find_spec("pip"):
        pip = [sys.executable, "-m", "pip", "install", "--upgrade", "--target", str(TOOLS)]
        status, words = attempt([*pip, "uv"], env)
        if status and re.search(UNREACHABLE, words):
            raise Stop(explain(words, "fetching uv"))
    return found or (str(own) if own.exists() else None)


def install(lock, env):
    """Make .venv hold what the lock names and nothing else, then the project itself."""
    uv = find_uv(env)
    strict = ["--require-hashes", "--only-binary", ":all:"]
    if uv:
        make = [uv, "venv", "--allow-existing", str(VENV), "--python", sys.executable]
        pip = [uv, "pip", "install", "--python", PYTHON, "--no-deps", "--no-build-isolation"]
        fill = [uv, "pip", "sync", "--python", PYTHON, *strict, "--compile-bytecode", lock]
    else:
        check_venv()
        make = [sys.executable, "-m", "venv", "--clear", str(VENV)]
        pip = [PYTHON, "-m", "pip", "install", "--no-deps", "--no-build-isolation"]
        fill = [*pip, *strict, "-r", lock]
    run(make, env, "making .venv")
    run(fill, env, f"installing {lock}")
    run([*pip, "-e", "."], env, "installing signalkit")


def build(extra):
    """Bring .venv up to date with the lock of `extra`; None keeps the extra it has."""
    before = STAMP.read_text().splitlines() if os.path.exists(PYTHON) and STAMP.exists() else []
    extra = extra or (before or ["cpu"])[0]
    place = f"Python {platform.python_version()} in {ROOT}"
    files = [(ROOT / name).read_bytes() for name in (LOCKS[extra], "pyproject.toml")]
    now = [extra, place, hashlib.sha256(b"".join([*files, place.encode()])).hexdigest()]
    if before != now:
        remake(before[1:2] == [place], LOCKS[extra])
        STAMP.with_suffix(".new").write_text("\n".join(now) + "\n")
        os.replace(str(STAMP.with_suffix(".new")), str(STAMP))
    STAMP.touch()  # the lock may be younger and yet the same


def remake(keep, lock):
    """Fill .venv from the lock, telling how far it is; begin anew unless `keep`."""
    print(f"making .venv with Python {platform.python_version()}", flush=True)
    if keep:
        STAMP.unlink()
    elif VENV.exists():
        shutil.rmtree(str(VENV))
    TOOLS.mkdir(exist_ok=True)
    LOG.write_text("")
    pins = set(re.findall(r"^([\w.-]+)==", (ROOT / lock).read_text(), re.MULTILINE))
    print(f"installing {len(pins)} locked packages", flush=True)
    env = environment()
    install(lock, env)
    with LOG.open("a") as log:  # kernels compiled now let no first command wait
        if subprocess.call([PYTHON, "tools/warm.py"], cwd=str(ROOT), env=env, stderr=log):
            raise Stop("tools/warm.py failed; its words are in .bootstrap/setup.log")


def main(arguments):
    """Run the command line; return 0, or the sentence it ends in."""
    parser = argparse.ArgumentParser(description="make .venv from a lock file")
    parser.add_argument("--extra", choices=sorted(LOCKS), help="default: as before, else cpu")
    asked = parser.parse_args(arguments)
    try:
        check_python(sys.version_info)
        build(asked.extra)
    except Stop as stop:
        return str(stop)
    except OSError as error:
        return explain(str(error), "making .venv")
    except KeyboardInterrupt:
        return "interrupted: run make setup again"
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
