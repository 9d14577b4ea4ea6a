from __future__ import annotations

import asyncio
import base64
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from segcode.server import guard
from segcode.server.guard import COOKIE, Access, Guard

TOKEN = "s3cret-ü"
LOCAL = "http://127.0.0.1:8765"


async def page(_) -> PlainTextResponse:
    return PlainTextResponse("in")


async def body(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


async def live(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("in")
    await websocket.close()


BOUND = guard.Amount(100, lists=5, keys=5, values=20)


def client(access: Access | None = None, address: str = LOCAL) -> TestClient:
    routes = [
        Route("/", page),
        Route("/api", page, methods=["GET", "POST"]),
        Route("/body", body, methods=["POST"]),
        WebSocketRoute("/live", live),
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Guard, access=access or Access(), bounds={"/body": BOUND})],
    )
    return TestClient(app, base_url=address, follow_redirects=False)


def gets_live(of: TestClient, address: str = "/live", **headers: str) -> bool:
    """Whether a WebSocket is let in; if not, it is for the guard's own reason."""
    try:
        with of.websocket_connect(LOCAL.replace("http", "ws") + address, headers=headers) as socket:
            return socket.receive_text() == "in"
    except WebSocketDisconnect as closed:
        if closed.code != 4403:
            raise
        return False


@pytest.mark.parametrize("host", ["localhost", "localhost:8765", "127.0.0.1:1", "[::1]", "[::1]:8765"])
def test_this_machines_names_are_let_in(host):
    assert client().get("/api", headers={"host": host}).status_code == 200
    assert gets_live(client(), host=host)


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:8765", "localhost.evil.example", "0.0.0.0:8765", "", "[::1", "x:y"]
)
def test_foreign_hosts_are_refused(host):
    answer = client().get("/api", headers={"host": host})
    assert answer.status_code == 403
    assert "open it by the address that it printed" in answer.json()["detail"]
    assert not gets_live(client(), host=host)


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "", "http://127.0.0.1:9999", "http://localhost:8765", "http://[::1", "file://"],
)
def test_foreign_pages_are_refused(origin):
    for answer in (client().get("/api", headers={"origin": origin}), client().post("/api", headers={"origin": origin})):
        assert answer.status_code == 403
        assert "may not ask this server" in answer.json()["detail"]
    assert not gets_live(client(), origin=origin)


def test_a_body_has_a_bound_however_it_is_sent():
    def in_parts():
        yield from [b"x" * 60] * 2

    for content in (b"x" * 101, in_parts()):
        refused = client().post("/body", content=content)
        assert (refused.status_code, "send less at a time" in refused.text) == (413, True)
    assert client().post("/body", content=b"x" * 100).text == "100"


@pytest.mark.parametrize("content", [b"[" * 6, b"{" * 6, b'"a":1,' * 6, b"1," * 21])
def test_what_takes_long_to_read_has_a_bound(content):
    refused = client().post("/body", content=content)
    assert (refused.status_code, "more than 5 lists, 5 keys or 20 values were sent" in refused.text) == (413, True)


def test_the_servers_own_page_is_let_in():
    assert client().post("/api", headers={"origin": LOCAL}).status_code == 200
    assert gets_live(client(), host="127.0.0.1:8765", origin=LOCAL)


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"anyone:{password}".encode()).decode()


@pytest.mark.parametrize(
    "headers",
    [{"authorization": "Bearer s3cret"}, {"authorization": basic("s3cret")}, {"cookie": f"other=1; {COOKIE}=s3cret"}],
)
def test_the_token_opens(headers):
    of = client(Access(token="s3cret"))
    assert of.get("/api", headers=headers).status_code == 200
    assert gets_live(of, **headers)


def test_the_token_in_the_address_opens():
    of = client(Access(token=TOKEN))
    assert of.get("/api", params={"token": TOKEN}).status_code == 200
    assert gets_live(of, "/live?token=s3cret-%C3%BC")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "Bearer"},
        {"authorization": "Bearer s3cret-u"},
        {"authorization": "Basic %%%"},
        {"authorization": b"Basic \xe9\xe9"},
        {"authorization": "Basic " + base64.b64encode(b"\xff\xff").decode()},
        {"authorization": basic("")},
        {"cookie": f"{COOKIE}=wrong"},
        {"cookie": f'{COOKIE}="'},
    ],
)
def test_without_the_token_nobody_gets_in(headers):
    of = client(Access(token="s3cret"))
    for address in ("/", "/api", "/api?token=", "/api?token=wrong", "/nothing"):
        answer = of.get(address, headers=headers)
        assert answer.status_code == 403
        assert "token is missing or wrong" in answer.json()["detail"]
    assert not gets_live(of)


def test_a_token_lets_no_foreign_page_in():
    of = client(Access(hosts=None, token="s3cret"))
    headers = {"authorization": "Bearer s3cret"}
    assert of.get("/api", headers=headers).status_code == 200
    assert of.get("/api", headers={**headers, "origin": "https://evil.example"}).status_code == 403
    assert not gets_live(of, **headers, origin="https://evil.example")


def test_any_host_will_do_where_a_token_is_asked_for():
    of = client(Access(hosts=None, token="s3cret"), "http://gpu7.example:8765")
    assert of.get("/api").status_code == 403
    assert of.get("/api?token=s3cret").status_code == 200


def test_the_token_leaves_the_address_for_a_cookie():
    of = client(Access(token=TOKEN))
    welcome = of.get("/", params={"token": TOKEN})
    assert (welcome.status_code, welcome.headers["location"]) == (303, "./")
    cookie = welcome.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert of.get("/").text == "in"
    assert gets_live(of)


def test_another_servers_odd_cookie_hides_no_token():
    access = Access(token=TOKEN)
    own = client(access).get("/", params={"token": TOKEN}).headers["set-cookie"].partition(";")[0]
    assert client(access).get("/", headers={"cookie": f'theirs={{"x": 1}}; {own}'}).text == "in"


@pytest.mark.parametrize(
    ("address", "headers", "status"),
    [("/api", {}, 200), ("/nothing", {}, 404), ("/api", {"host": "evil.example"}, 403), ("/", {"token": "x"}, 200)],
)
def test_every_answer_tells_the_browser_to_load_nothing_from_elsewhere(address, headers, status):
    answer = client().get(address, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_a_welcome_is_guarded_too():
    assert "content-security-policy" in client(Access(token="a")).get("/?token=a").headers


def test_by_default_this_machine_alone_is_let_in_without_a_token():
    assert Access().token is None
    assert Access().hosts == {"localhost", "127.0.0.1", "[::1]"}


@pytest.mark.parametrize(
    ("origin", "headers"),
    [
        ("https://seg.example.com", {"host": "seg.example.com"}),
        ("https://seg.example.com", {"host": "seg.example.com:443"}),
        ("https://SEG.example.com:8443", {"host": "seg.example.com:8443"}),
        ("https://seg.example.com", {"host": "127.0.0.1:8765", "x-forwarded-host": "seg.example.com"}),
    ],
)
def test_a_page_behind_a_proxy_is_the_servers_own(origin, headers):
    of = client(Access(hosts=None, token="s3cret"))
    for more in ({}, {"authorization": "Bearer s3cret"}):
        assert gets_live(of, origin=origin, **headers, **more) == bool(more)
        assert of.post("/api", headers={"origin": origin, **headers, **more}).status_code == (200 if more else 403)


def test_without_a_token_no_header_of_a_proxy_counts():
    headers = {"origin": "https://evil.example", "x-forwarded-host": "evil.example"}
    assert client().post("/api", headers=headers).status_code == 403


def test_a_refusal_of_another_page_names_the_header_that_a_proxy_has_to_pass_on():
    refused = client(Access(hosts=None, token="a")).get("/api?token=a", headers={"origin": "https://seg.example.com"})
    assert "proxy_set_header Host $http_host" in refused.json()["detail"]


def test_the_cookie_is_for_the_path_and_the_scheme_that_a_proxy_has():
    welcome = client(Access(token="a"), "https://127.0.0.1").get("/", params={"token": "a"})
    cookie = welcome.headers["set-cookie"].lower()
    assert "path" not in cookie
    assert "secure" in cookie


def test_who_is_refused_is_not_listened_to():
    assert client(Access(token="a")).get("/api").headers["connection"] == "close"


def test_a_body_has_a_time(monkeypatch):
    monkeypatch.setattr(guard, "_PATIENCE", 0.05)

    async def drips() -> dict:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def status() -> int:
        sent: list[dict] = []

        async def send(message: dict) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/body",
            "headers": [(b"host", b"localhost")],
            "scheme": "http",
        }
        await client().app({**scope, "query_string": b"", "http_version": "1.1"}, drips, send)
        return sent[0]["status"]

    with ThreadPoolExecutor() as elsewhere:  # playwright's loop runs in this thread
        assert elsewhere.submit(asyncio.run, status()).result() == 408
