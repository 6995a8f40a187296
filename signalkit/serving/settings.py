"""What a server is told when it starts: who may come, from where, and how much.

The one rule: whatever could open the server to others is refused unless it was asked for.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from signalkit.errors import ParamsError

SHORTEST_REMOTE_TOKEN = 32  # characters
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def is_address(host: str) -> bool:
    """Whether a host is an IP address; no name server can make it another's."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether only this computer reaches a host."""
    return host in LOOPBACK or (is_address(host) and ipaddress.ip_address(host).is_loopback)


@dataclass(frozen=True)
class Settings:
    """Settings of one server.

    Parameters
    ----------
    token, read_token : str, str or None
        Who has the first may do everything, who has the second may look.
    host, port : str, int
        Where it listens.
    hosts : tuple of str
        Further names under which browsers ask for it, such as that of a reverse proxy.
    https : bool
        Whether browsers reach it by https, its own or a reverse proxy's.
    allow_remote : bool
        Whether `host` may be one that other computers reach.
    open_metrics : bool
        Whether `/metrics` answers without a token to those on this computer.
    visit_hours : float
        Hours after which a browser must log in again.
    reads, writes, strangers : float
        Requests a second that a client may make: to look, to change, without a token.
    failures : float
        Wrong tokens a second that are looked at, after the first ten.
    body : int
        Largest body of a request, in bytes.
    seconds : float
        Seconds that a body may take to arrive, and a reading of the database.
    """

    token: str
    read_token: str | None = None
    host: str = "127.0.0.1"
    port: int = 8765
    hosts: tuple[str, ...] = ()
    https: bool = False
    allow_remote: bool = False
    open_metrics: bool = False
    visit_hours: float = 12.0
    reads: float = 2_000.0
    writes: float = 20.0
    strangers: float = 50.0
    failures: float = 0.2
    body: int = 1 << 20
    seconds: float = 10.0

    def __post_init__(self) -> None:
        """Refuse what would let in those who were not asked."""
        if self.read_token is not None and self.read_token == self.token:
            raise ParamsError("the read token is the token; whoever has it could change things")
        for name in ("token", "read_token"):
            _check_token(name, getattr(self, name), remote=not is_loopback(self.host))
        if not is_loopback(self.host) and not self.allow_remote:
            raise ParamsError(
                f"host {self.host} is one that other computers reach; allow it with allow_remote,"
                " or listen on 127.0.0.1"
            )


def _check_token(name: str, token: str | None, *, remote: bool) -> None:
    """Refuse a token that is easily guessed, or that no header can carry."""
    if token is None and name == "read_token":
        return
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ParamsError(f"the {name} must be visible ASCII characters without blanks, at least 1")
    if remote and len(token) < SHORTEST_REMOTE_TOKEN:
        raise ParamsError(
            f"the {name} has {len(token)} characters; where other computers reach the server it"
            f" needs {SHORTEST_REMOTE_TOKEN}, such as those of secrets.token_urlsafe()"
        )
