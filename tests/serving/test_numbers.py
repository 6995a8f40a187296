"""Numbers that SQLite cannot hold are refused wherever one may be given."""

import copy

import pytest

from signalkit.serving import dashboard, dashboard_changes
from tests.serving.house import digest, furnish

HUGE = [2**63, -(2**63) - 1, 2**64, 10**400]
FILLED = {"id": "1", "number": "1", "name": "rsi_14", "run": "e" * 64, "switch": "on", "rest": "x"}


@pytest.fixture
def house(own_store):
    furnish(own_store)
    return own_store


def filled(path, given):
    """A path with something in the place of each name."""
    words = FILLED | given
    for name in words:
        path = path.replace(f"{{{name}}}", str(words[name])).replace(f"{{{name}:path}}", "x")
    return path


def kinds(schema, document):
    """Types that a schema takes, those of its parts among them."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    each = [kinds(part, document) for part in schema.get("anyOf", [])]
    return {schema.get("type")}.union(*each)


def operations(document):
    """Each path, method and operation of the API."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def in_addresses(document, number):
    """Requests with a number in one place of an address, and whether it must be refused."""
    for path, method, operation in operations(document):
        for asked in operation.get("parameters", []):
            name, query = asked["name"], asked["in"] == "query"
            place = filled(path, {} if query else {name: number})
            params = {"symbol": "BTCUSDT"} | ({name: str(number)} if query else {})
            whole = bool({"integer", "number"} & kinds(asked["schema"], document))
            yield method, place, {"params": params}, whole or not query


def in_bodies(document, number):
    """Requests with a number in one place of a body, and whether it must be refused."""
    for path, method, operation in operations(document):
        if "requestBody" not in operation:
            continue
        ref = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        schema = document["components"]["schemas"][ref.rpartition("/")[2]]
        for name in schema["properties"]:
            body = copy.deepcopy(schema["examples"][0]) | {name: number}
            yield method, filled(path, {}), {"json": body}, True


def in_pages(number):
    """Requests of the dashboard with a number in its place."""
    for route in [*dashboard.router.routes, *dashboard_changes.router.routes]:
        path = getattr(route, "path", "")
        if "{number}" in path:
            method = "GET" if path.startswith("/ml/") else "POST"
            yield method, filled(path if method == "GET" else f"/ml{path}", {"number": number}), {}
    for page, name in (("training", "before"), ("audit", "before"), ("predictions", "before")):
        yield "GET", f"/ml/{page}/", {"params": {name: str(number)}}
    # one of a list, which is shown as it is where nothing of it was chosen
    chosen = {"params": {"of": f"1|signal_direction|1h|{number}"}}
    yield "GET", "/ml/performance/", chosen, False
    watched = ("window", "drift_window", "retrain_every", "alpha")
    forms = [("/ml/models/2/watch", {name: number}) for name in watched]
    forms.append(("/ml/predictions/", {"of": f"BTCUSDT|signal_direction|1h|{number}"}))
    asked = {"model_type": "XGBOOST", "target_variable": "signal_direction", "interval": "1h"}
    asked |= {"symbols": "BTCUSDT", "prediction_horizon": 24, "training_days": 9}
    spans = ("prediction_horizon", "training_days")
    forms += [("/ml/training/", asked | {name: number}) for name in spans]
    for place, form in forms:
        yield "POST", place, {"data": {name: str(value) for name, value in form.items()}}


def in_admin(number):
    """Requests of the admin pages with a number in its place; what is not there is no fault."""
    yield "GET", f"/admin/signalkit/ml_models/{number}", {}
    names = ("_next", "_size", "id__exact", "id__gt", "id__lt", "id__in", "id", "_facet_size")
    for name in names:
        for table in ("ml_models", "ml_predictions"):
            asked = {"params": {name: str(number)}}
            yield "GET", f"/admin/signalkit/{table}", asked, False
            yield "GET", f"/admin/signalkit/{table}.json", asked, False


def unrefused(client, asks):
    """What was not refused as it must be."""
    found, asked = [], 0
    for method, path, options, *refused in asks:
        status = client.request(method, path, **options).status_code
        asked += 1
        if status >= 500 or (status < 400 and refused != [False]):
            found.append((method, path[:80], options, status))
    return found, asked


@pytest.mark.parametrize("number", HUGE, ids=["2^63", "-2^63-1", "2^64", "10^400"])
def test_a_number_that_the_database_cannot_hold_is_refused_everywhere(house, serve, number):
    client, before = serve(reads=1e6, writes=1e6), digest(house)
    document = client.get("/api/openapi.json").json()
    found, addresses = unrefused(client, in_addresses(document, number))
    assert found == []
    found, bodies = unrefused(client, in_bodies(document, number))
    assert found == []
    found, pages = unrefused(client, in_pages(number))
    assert found == []
    found, tables = unrefused(client, in_admin(number))
    assert found == []
    assert min(addresses, bodies, pages, tables) >= 20
    assert digest(house) == before


@pytest.mark.parametrize("text", ["²", "٣", "1²", "9" * 20])
def test_digits_that_the_database_reads_as_no_number_give_no_fault(house, write, text):
    for name in ("id__gt", "id__exact", "_size", "_next"):
        status = write.get("/admin/signalkit/ml_models", params={name: text}).status_code
        assert status in (200, 400), name
    assert write.get(f"/api/ml/models/?limit={text}").status_code == 422
