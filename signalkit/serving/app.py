"""The server: API, dashboard and admin over one data folder, behind one guard."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from signalkit import __version__
from signalkit.serving import api, dashboard, health, login, metrics, problems
from signalkit.serving.admin import PREFIX, Admin
from signalkit.serving.database import Database
from signalkit.serving.security import Door, Guard
from signalkit.serving.settings import Settings


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """What the server holds while it runs."""
    yield
    app.state.admin.close()
    api.close(app)
    app.state.database.close()


def create(folder: Path, *, token: str, read_token: str | None = None, **options: Any) -> FastAPI:
    """The application over a data folder.

    Parameters
    ----------
    folder : Path
        The data folder. One that is broken does not keep the server from starting; `/readyz`
        says what is wrong.
    token, read_token : str
        Who has the first may do everything, who has the second may look.
    **options
        Other fields of `Settings`.

    Returns
    -------
    FastAPI
        `app.state` has `database` (endpoints ask for `database.Lent`), `settings`, `door`.

    Raises
    ------
    ParamsError
        If the settings would open the server to others without their saying so.
    """
    settings = Settings(token=token, read_token=read_token, **options)
    app = FastAPI(
        title="signalkit",
        version=__version__,
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        openapi_url="/api/openapi.json",
        lifespan=_lifespan,
    )
    app.state.settings = settings
    app.state.database = Database(folder, seconds=settings.seconds)
    app.state.door = Door(settings)
    app.state.admin = Admin(app.state.database)
    app.state.metrics = metrics.Metrics(app.state.database)
    app.state.health = health.Health(app.state.database)
    problems.install(app)
    app.add_middleware(Guard, door=app.state.door, seen=app.state.metrics.seen)
    for part in (login, health, metrics, api, dashboard):
        app.include_router(part.router)
    app.mount(PREFIX, app.state.admin)
    api.describe(app)
    return app
