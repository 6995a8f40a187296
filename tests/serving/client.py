"""Asks a server in the test's own process, without a network."""

import asyncio

import httpx

TOKEN = "write-" + "w" * 30
READ_TOKEN = "read-" + "r" * 30
HOST = "http://127.0.0.1:8765"


class Client:
    """Asks an application; `token` None for a stranger. Cookies are kept as browsers do."""

    def __init__(self, app, token=None, *, base_url=HOST, raise_errors=True):
        self.app = app
        self._loop = asyncio.new_event_loop()
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        transport = httpx.ASGITransport(app, raise_app_exceptions=raise_errors)
        self._client = httpx.AsyncClient(transport=transport, base_url=base_url, headers=headers)
        self.cookies = self._client.cookies

    def request(self, method, path, **options):
        return self._loop.run_until_complete(self._client.request(method, path, **options))

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, **options):
        return self.request("POST", path, **options)

    def close(self):
        self._loop.run_until_complete(self._client.aclose())
        for left in asyncio.all_tasks(self._loop):  # such as the watch that a stream keeps
            left.cancel()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
