"""The server: REST API, dashboard and admin of a data folder, for browsers and programs.

The one rule: nothing is told or changed without a token, and nothing of what comes from
outside is trusted. `docs/serving.md` has the rules. Its libraries take over 0.3 s to import:
the command imports it inside its verb.
"""

from signalkit.serving.app import create
from signalkit.serving.running import run
from signalkit.serving.settings import Settings

__all__ = ["Settings", "create", "run"]
