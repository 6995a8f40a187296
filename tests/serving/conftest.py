"""A server over the test's own data folder."""

import pytest

from signalkit.serving import create
from tests.serving.client import READ_TOKEN, TOKEN, Client


@pytest.fixture
def serve(own_store):
    """Makes clients of servers over the test's own data folder: `serve(token=…, **settings)`."""
    opened = []

    def make(token=TOKEN, *, app=None, raise_errors=True, **settings):
        app = app or create(own_store, token=TOKEN, read_token=READ_TOKEN, **settings)
        opened.append(Client(app, token, raise_errors=raise_errors))
        return opened[-1]

    yield make
    for client in opened:
        client.close()
        client.app.state.admin.close()
        client.app.state.database.close()


@pytest.fixture
def write(serve):
    """Who may do everything."""
    return serve()


@pytest.fixture
def stranger(serve):
    """Who has no token."""
    return serve(None)
