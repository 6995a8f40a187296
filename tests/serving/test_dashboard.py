"""Pages of the dashboard: they stand, say what they must, and hold nothing that a page must not."""

import re
from urllib.parse import urlsplit

import pytest

from signalkit.serving.dashboard_pages import DONE, MENU, labelled
from signalkit.store import Store, audit
from tests.serving.client import READ_TOKEN, TOKEN
from tests.serving.filled import RUN, fill, register
from tests.serving.markup import Markup

ODD = "\"'><script>alert(1)</script><b a=${{7*7}}"
LISTS = [f"/ml/{name}/" if name else "/ml/" for name in MENU]
PAGES = [*LISTS, "/ml/models/1/", "/ml/training/1/", f"/ml/backtests/{RUN}/"]


@pytest.fixture
def full(own_store, write):
    """Who may write, over a store with something on every page."""
    fill(own_store)
    return write


@pytest.fixture
def odd(own_store, write):
    """Who may write, over a store whose names are hostile."""
    fill(own_store, odd=ODD)
    return write


def read(client, path):
    """A page that must be there."""
    answer = client.get(path)
    assert answer.status_code == 200, answer.text[:400]
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return answer.text


def training(**changed):
    """The form of the training page as a browser posts it."""
    form = {"model_type": "XGBOOST", "target_variable": "signal_direction", "interval": "1d"}
    return form | {"prediction_horizon": "24", "training_days": "1", "symbols": ["SP500"]} | changed


def changes(folder):
    """What the audit says, oldest first, but for what made the store."""
    with Store.open(folder) as store:
        rows = audit.page(store.db, limit=100)[::-1]
    return [(row["actor"], row["action"], row["subject"]) for row in rows]


def assert_clean(text):
    """What the content policy would refuse is not there, nor anything of elsewhere."""
    page = Markup(text)
    assert page.faults == []
    assert [attrs for attrs in page.all("script") if "src" not in attrs] == []
    assert page.all("style") == []
    assert page.values("style") == []
    assert [name for _, attrs in page.elements for name in attrs if name.startswith("on")] == []
    places = [v for name in ("href", "src", "action") for v in page.values(name)]
    assert [v for v in places if not v.startswith(("/", "#", "data:,"))] == []
    assert [v for v in places if v.startswith("//")] == []


def assert_readable(text):
    """What a screen reader needs is there."""
    page = Markup(text)
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    named = {part for value in page.values("aria-labelledby") for part in value.split()}
    assert named <= set(ids)
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == len(page.all("main")) == 1
    assert all(th.get("scope") in ("col", "row") for th in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    pictures = [svg for svg in page.all("svg") if svg.get("role") == "img"]
    assert len(page.all("desc")) == len(pictures)
    hidden = [svg for svg in page.all("svg") if svg.get("aria-hidden") == "true"]
    boxes = [svg for svg in page.all("svg") if svg.get("class") == "box"]
    assert len(pictures) + len(hidden) + len(boxes) == len(page.all("svg"))


@pytest.mark.parametrize("path", LISTS)
def test_every_page_stands_on_an_empty_store(write, path):
    text = read(write, path)
    assert_clean(text)
    assert_readable(text)


@pytest.mark.parametrize("path", PAGES)
def test_every_page_stands_on_a_full_store(full, path):
    text = read(full, path)
    assert_clean(text)
    assert_readable(text)


@pytest.mark.parametrize("path", PAGES)
def test_hostile_names_are_text_and_nothing_else(odd, path):
    text = read(odd, path)
    assert_clean(text)
    assert_readable(text)
    assert "<script>alert" not in text
    assert "49" not in re.findall(r"a=\$\{?(\d+)", text)


def test_hostile_names_are_shown_as_they_are(odd):
    page = Markup(read(odd, "/ml/alarms/"))
    assert f"model 1{ODD}" in page.text("td")


@pytest.mark.parametrize("path", PAGES)
def test_every_link_leads_to_a_page_that_is_there(full, path):
    page = Markup(read(full, path))
    links = {v for v in page.values("href") if v.startswith("/ml/") or v.startswith("#")}
    assert len(links) > len(MENU)
    for link in links:
        if link.startswith("#"):
            assert link[1:] in page.values("id")
        else:
            assert full.get(link).status_code == 200, link


@pytest.mark.parametrize("path", PAGES)
def test_every_field_of_a_form_has_a_label_and_every_form_a_button(full, path):
    text = read(full, path)
    forms = re.findall(r"<form.*?</form>", text, re.DOTALL)
    assert all("<button" in form for form in forms)
    outside = re.sub(r"<label.*?</label>", "", text, flags=re.DOTALL)
    assert re.findall(r"<(?:input|select)[^>]*>", outside) == []


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/ml/", "signalkit run params/quickstart.yaml"),
        ("/ml/models/", "signalkit train --model-type XGBOOST"),
        ("/ml/training/", "signalkit collect"),
        ("/ml/predictions/", "signalkit models deploy ID"),
        ("/ml/performance/", "signalkit tick"),
        ("/ml/signals/", "signalkit live PARAMS"),
        ("/ml/backtests/", "signalkit backtest PARAMS"),
        ("/ml/features/", "signalkit run PARAMS"),
    ],
)
def test_an_empty_page_says_what_to_do_next(write, path, says):
    assert says in read(write, path)


def test_with_models_and_none_deployed_the_way_to_deploy_is_told(own_store, write):
    with Store.open(own_store) as store:
        register(store)
    text = read(write, "/ml/")
    assert "No model is deployed" in text
    assert "signalkit models deploy 1" in text


def test_a_model_without_validation_says_nothing_of_itself(full):
    text = read(full, "/ml/models/")
    assert "neither baseline nor interval was kept" in text


def test_a_model_that_guesses_is_told_to_be_no_better_than_its_baseline(full):
    text = read(full, "/ml/models/1/")
    assert "no better than its baseline" in text or "worse than its baseline" in text
    assert "better than its baseline</span>" not in text.replace("no better than its baseline", "")


def test_score_stands_beside_interval_baseline_and_count(full):
    text = read(full, "/ml/")
    number = r"\d+\.\d %"
    cell = rf"<strong>{number}</strong><span class=\"sub\">{number} to {number}</span>"
    assert len(re.findall(cell, text)) == 2  # the ensemble and the one deployed model
    assert text.count("always “hold”") == 2
    assert text.count("230 outcomes, worth 23") == 2  # 115 bars of two symbols, horizon 5


def test_static_files_are_of_this_server_and_no_others(write):
    assert write.get("/ml/static/style.css").headers["content-type"].startswith("text/css")
    assert write.get("/ml/static/app.js").headers["content-type"].startswith("text/javascript")
    assert write.get("/ml/static/../app.py").status_code in (400, 404)
    assert write.get("/ml/static/base.html").status_code == 404


@pytest.mark.parametrize("name", ["style.css", "app.js"])
def test_static_files_ask_for_nothing(write, name):
    text = write.get(f"/ml/static/{name}").text
    assert re.findall(r"https?://|@import|url\(|eval\(|innerHTML|setAttribute\(.style", text) == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/ml/models/99/", 404),
        ("/ml/models/zero/", 422),
        ("/ml/models/99999999999999999999999/", 422),
        ("/ml/training/99/", 404),
        (f"/ml/backtests/{'cd' * 32}/", 404),
        ("/ml/backtests/zz/", 422),
        ("/ml/nothing/at/all", 404),
        ("/ml/predictions/?before=1;drop", 422),
    ],
)
def test_a_refusal_is_a_page_with_the_way_back(full, path, status):
    answer = full.get(path)
    assert answer.status_code == status
    assert_clean(answer.text)
    assert 'role="alert"' in answer.text
    assert "Back to" in answer.text


def test_predictions_are_paged_without_a_gap_or_a_double(full):
    path, seen = "/ml/predictions/", []
    for _ in range(20):
        text = read(full, path)
        seen += re.findall(r'<th scope="row" class="time"[^>]*>([^<]+)', text)
        more = re.search(r'<p class="more"><a href="([^"]+)">Older', text)
        if not more:
            break
        path = more[1].replace("&amp;", "&")
    assert len(seen) == 480  # 120 bars, two symbols, two makers
    assert seen == sorted(seen, reverse=True)


@pytest.mark.parametrize(
    ("query", "count"),
    [("symbol=SP500", 50), ("made_by=ENSEMBLE", 50), ("symbol=SP500&made_by=1", 50)],
)
def test_predictions_of_one_symbol_or_maker(full, query, count):
    rows = re.findall(r"<tbody>.*</tbody>", read(full, f"/ml/predictions/?{query}"), re.DOTALL)[0]
    assert rows.count("<tr>") == count
    assert ("NASDAQ" in rows) == ("SP500" not in query)
    assert ("ensemble" in rows) == ("made_by=1" not in query)


@pytest.mark.parametrize(
    ("path", "form", "place", "change"),
    [
        ("models/2/deploy", {}, "models/2/?done=deploy", ("deploy", "model 2")),
        ("models/1/archive", {"force": "yes"}, "models/1/?done=archive", ("archive", "model 1")),
        ("models/1/backtest", {}, "training/2/?done=backtest", ("queue", "session 2")),
        ("training/1/cancel", {}, "training/1/?done=cancel", ("cancel", "session 1")),
        ("features/return_5/off", {}, "features/?done=feature", ("disable", "feature return_5")),
        ("features/return_5/on", {}, "features/?done=feature", ("enable", "feature return_5")),
        ("alarms/1/close", {}, "alarms/?done=alarm", ("close", "alarm 1")),
        ("models/1/watch", {"alpha": "0.01"}, "models/1/?done=watch", ("configure", "model 1")),
    ],
)
def test_a_change_is_made_noted_and_leads_to_a_page_that_says_so(
    full, own_store, path, form, place, change
):
    answer = full.post(f"/ml/{path}", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/ml/{place}")
    assert changes(own_store)[-1] == ("token (write)", *change)
    assert DONE[place.partition("=")[2]] in read(full, answer.headers["location"])


def test_words_of_what_was_done_cannot_come_from_the_address(full):
    assert "deployed. It answers" not in read(full, "/ml/?done=the+model+was+stolen")
    assert "stolen" not in read(full, "/ml/?done=the+model+was+stolen")


@pytest.mark.parametrize(
    ("path", "form", "status", "says"),
    [
        ("models/1/archive", {}, 409, "is deployed"),
        ("models/99/deploy", {}, 404, "no model 99"),
        ("training/1/resume", {}, 409, "session 1 is queued"),
        ("alarms/7/close", {}, 404, "no alarm 7"),
        ("models/1/watch", {"alpha": "2"}, 400, "alpha: "),
        ("models/1/watch", {"window": "many"}, 400, "window must be a number"),
        ("models/1/watch", {"on_alarm": "panic"}, 400, "on_alarm: "),
        ("models/1/again", {}, 409, "does not hold the params"),
        ("predictions/", {"of": "SP500|signal_direction|1d|x"}, 400, "choose one of the questions"),
        ("predictions/", {"of": "DOGE|signal_direction|1d|5"}, 404, "no deployed model"),
        ("features/nonsense/off", {}, 404, "nonsense"),
        ("training/", {"model_type": "XGBOOST"}, 400, "one target_variable, it gave 0"),
        ("training/", training(model_type="ORACLE"), 400, "model_type: "),
    ],
)
def test_a_change_that_cannot_be_made_is_refused_on_a_page(
    full, own_store, path, form, status, says
):
    before = changes(own_store)
    answer = full.post(f"/ml/{path}", data=form)
    assert answer.status_code == status
    assert says in answer.text
    assert_clean(answer.text)
    assert changes(own_store) == before


def test_training_that_is_asked_for_is_queued_in_the_words_of_the_command(full, own_store):
    answer = full.post("/ml/training/", data=training())
    assert answer.headers["location"] == "/ml/training/2/?done=train"
    with Store.open(own_store) as store:
        asked = store.sessions.find(2).asked
    assert asked == {
        "kind": "train", "model_type": "XGBOOST", "target": "signal_direction", "interval": "1d",
        "prediction_horizon": 24, "training_days": 1, "symbols": ["SP500"],
        "source": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"symbols": []}, "symbols: "),
        ({"symbols": ["DOGE"]}, "DOGE"),
        ({"training_days": "-1"}, "training_days must be a whole number above 0"),
        ({"prediction_horizon": "1e3"}, "prediction_horizon must be a whole number above 0"),
        ({"prediction_horizon": "7"}, "hour"),
        ({"interval": "soon"}, "interval: "),
    ],
)
def test_training_that_could_only_fail_is_not_queued(full, own_store, changed, says):
    answer = full.post("/ml/training/", data=training(**changed))
    assert answer.status_code in (400, 422)
    assert says in answer.text
    with Store.open(own_store) as store:
        assert store.sessions.find(2) is None


@pytest.mark.parametrize("path", PAGES)
def test_who_may_only_look_is_offered_no_change(own_store, serve, path):
    fill(own_store)
    text = read(serve(READ_TOKEN), path)
    assert "looking only" in text
    assert 'method="post"' not in text


def test_who_may_only_look_cannot_change(own_store, serve):
    fill(own_store)
    assert serve(READ_TOKEN).post("/ml/models/2/deploy").status_code == 403


def test_a_stranger_is_led_to_the_log_in(stranger):
    answer = stranger.get("/ml/models/", headers={"Accept": "text/html"})
    assert answer.headers["location"] == "/login?next=/ml/models/"
    assert stranger.get("/ml/static/style.css").status_code == 401


def test_a_training_whose_process_was_killed_is_not_said_to_run(full, own_store):
    row = {"model": "LSTM", "status": "running", "identity": "ee" * 32, "jobs": 4, "done": 1}
    with Store.open(own_store) as store:
        store.db["ml_training_sessions"].insert(row)
    text = read(full, "/ml/training/2/")
    assert "interrupted" in text
    assert "data-events" not in text


def test_a_training_that_waits_is_followed_by_script_and_by_a_link(full):
    page = Markup(read(full, "/ml/training/1/"))
    events = page.values("data-events")
    assert events == ["/api/ml/training-sessions/1/events/"]
    assert {"href": "/ml/training/1/"} in page.all("a")


def test_cells_carry_the_heads_of_their_columns():
    head = (
        '<thead><tr><th scope="col">a</th><th scope="col" class="num">b <i>c</i></th></tr></thead>'
    )
    body = '<tbody><tr><th scope="row">1</th><td class="num">2</td></tr></tbody>'
    assert (
        '<th scope="row" data-label="a">1</th><td class="num" data-label="b c">2</td>'
        in labelled(head + body)
    )


def test_pages_are_in_the_menu_and_the_present_one_is_marked(full):
    for path in LISTS:
        page = Markup(read(full, path))
        here = [attrs["href"] for attrs in page.all("a") if attrs.get("aria-current") == "page"]
        assert here == [path]
        assert urlsplit(path).path in LISTS


def test_token_is_nowhere_on_a_page(full):
    assert all(TOKEN not in read(full, path) for path in PAGES)
