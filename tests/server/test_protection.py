"""Access to the server: hosts, origins, API keys, and security headers."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from anexa.cli.serve import is_local
from anexa.server.app import create_app
from anexa.server.config import ServerConfig
from tests.cli.process import anexa, one_sentence
from tests.server.process import MESSAGES, PLAIN, ServerProcess, serving

KEY = "a long and secret key"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Any:
    origins = (
        "https://Partner.test/",
        "https://a.test:443",
        "http://a.test:80",
        "https://b.test:80",
    )
    arguments = ["--api-key", KEY, "--engine", "numpy"]
    arguments += [part for origin in origins for part in ("--allow-origin", origin)]
    with serving(*arguments, cwd=tmp_path_factory.mktemp("locked")) as running:
        yield running


def routes() -> list[tuple[str, str]]:
    """Methods and paths of all routes."""
    app = create_app(ServerConfig({"anexa": None}), lambda _: None)
    found = [
        (method.upper(), path.replace("{name}", "anexa"))
        for path, methods in app.openapi()["paths"].items()
        for method in methods
    ]
    for route in app.routes:  # including those without a schema
        path = str(getattr(route, "path", ""))
        found += [(method, path) for method in getattr(route, "methods", None) or () if path]
    return found


def test_all_but_public_routes_need_the_api_key(locked: ServerProcess) -> None:
    open_ = set()
    for method, path in routes():
        if httpx.request(method, locked.address + path, **PLAIN).status_code != 401:
            open_.add(path)
    assert {path for path in open_ if not path.startswith("/page/")} == {
        "/",
        "/docs",
        "/health",
    }
    closed = {f"/v1/{name}" for name in ("models", "completions", "embeddings", "responses")}
    closed |= {f"/api/{name}" for name in ("chat", "generate", "tags", "show", "version")}
    closed |= {"/metrics", "/check", "/openapi.json"}
    assert closed <= {path for _, path in routes()} - open_
    with_key = {"Authorization": f"Bearer {KEY}"}
    for method, path in routes():
        response = httpx.request(method, locked.address + path, headers=with_key, **PLAIN)
        assert response.status_code != 401


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer wrong",
        f"Basic {KEY}",
        f"Bearer {KEY}x",
        f"Bearer {KEY[:-1]}",
    ],
)
def test_wrong_api_key_is_refused(locked: ServerProcess, header: str) -> None:
    response = locked.get("/v1/models", headers={"Authorization": header} if header else {})
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json()["error"]["type"] == "authentication_error"
    assert KEY not in response.text


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:1234", 200),
        ("127.0.0.1", 200),
        ("[::1]:8000", 200),
        ("evil.test", 400),
        ("localhost.evil.test", 400),
        ("127.0.0.1.evil.test", 400),
        ("evil.test:80@localhost", 400),
        ("", 400),
    ],
)
def test_unknown_host_names_are_refused(server: ServerProcess, host: str, status: int) -> None:
    assert server.get("/health", headers={"Host": host}).status_code == status


def test_pages_of_other_origins_are_refused(server: ServerProcess, locked: ServerProcess) -> None:
    def asked(where: ServerProcess, origin: str) -> Any:
        headers = {"Origin": origin, "Authorization": f"Bearer {KEY}"}
        body = {"messages": MESSAGES, "max_tokens": 1}
        return where.post("/v1/chat/completions", body, headers=headers)

    assert asked(server, "https://evil.test").status_code == 403
    assert asked(server, "null").status_code == 403
    assert asked(server, "http://[x").status_code == 403
    own = asked(server, server.address)
    assert own.status_code == 200
    assert asked(locked, "https://evil.test").status_code == 403
    partner = asked(locked, "https://partner.test")
    assert partner.status_code == 200
    assert partner.headers["access-control-allow-origin"] == "https://partner.test"
    # Browsers leave the default port out.
    for origin, status in (
        ("https://a.test", 200),
        ("http://a.test", 200),
        ("https://b.test:80", 200),
        ("https://b.test", 403),
    ):
        assert asked(locked, origin).status_code == status, origin
    # Pages of allowed origins can read errors too.
    keyless = locked.get("/v1/models", headers={"Origin": "https://partner.test"})
    assert keyless.status_code == 401
    assert keyless.headers["access-control-allow-origin"] == "https://partner.test"
    preflight = httpx.options(
        f"{locked.address}/v1/chat/completions",
        headers={"Origin": "https://partner.test", "Access-Control-Request-Method": "POST"},
    )
    assert preflight.status_code == 200


LOCAL = ["http://localhost", "http://localhost:3000", "http://127.0.0.1:5173", "http://127.0.0.1"]
NOT_LOCAL = [
    "null",  # of files, and of sandboxed frames
    "file://",
    "http://localhost.evil.test",
    "http://127.0.0.1.evil.test:3000",
    "http://localhost:3000.evil.test",
    "http://localhost:3000@evil.test",
    "http://evil.test/http://localhost:3000",
    "http://evil.test#localhost",
    "http://localhost:",
    "http://localhost:123456",
    "http://localhost:3000/",
    "http://localhost\uff1a3000".encode().decode("latin-1"),
    "http://127.0.0.2:3000",
    "http://127.1:3000",
    "http://0.0.0.0:3000",
    "http://192.168.1.5:3000",
    "https://localhost.test",
    "chrome-extension://localhost",
]


@pytest.mark.parametrize("origin", LOCAL)
def test_pages_of_this_computer_may_use_a_server_without_key(
    server: ServerProcess, locked: ServerProcess, origin: str
) -> None:
    answer = server.get("/v1/models", headers={"Origin": origin})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == origin
    assert "access-control-allow-credentials" not in answer.headers
    preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    assert httpx.options(f"{server.address}/v1/completions", headers=preflight).status_code == 200
    # Errors can be read too.
    wrong = server.post("/v1/completions", {"prompt": 7}, headers={"Origin": origin})
    assert (wrong.status_code, wrong.headers["access-control-allow-origin"]) == (400, origin)
    # With a key, only origins that were allowed by name.
    headers = {"Origin": origin, "Authorization": f"Bearer {KEY}"}
    refused = locked.get("/v1/models", headers=headers)
    assert refused.status_code == 403
    assert "access-control-allow-origin" not in refused.headers


@pytest.mark.parametrize("origin", NOT_LOCAL)
def test_pages_that_only_look_local_are_refused(server: ServerProcess, origin: str) -> None:
    headers: dict[str, Any] = {"Origin": origin.encode("latin-1")}
    refused = server.get("/v1/models", headers=headers)
    assert refused.status_code == 403
    assert "access-control-allow-origin" not in refused.headers
    asked = {**headers, "Access-Control-Request-Method": "POST"}
    preflight = httpx.options(f"{server.address}/v1/completions", headers=asked)
    assert "access-control-allow-origin" not in preflight.headers


def test_dns_rebinding_is_refused_whatever_the_origin(server: ServerProcess) -> None:
    """A site that has made its name point to this computer sends that name as the host."""
    for origin in (*LOCAL, "http://evil.test"):
        headers = {"Host": "evil.test", "Origin": origin}
        assert server.get("/v1/models", headers=headers).status_code == 400


@pytest.mark.slow
@pytest.mark.alone
def test_local_page_in_a_browser_uses_the_server(browser: Any, server: ServerProcess) -> None:
    with HTTPServer(("127.0.0.1", 0), Page) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        page = browser.new_page()
        page.goto(f"http://localhost:{other.server_port}/")
        status = page.evaluate(
            """async (address) => {
                const headers = { "Content-Type": "application/json" };
                const body = JSON.stringify({ prompt: "1+1", max_tokens: 1 });
                const options = { method: "POST", headers, body };
                const response = await fetch(`${address}/v1/completions`, options);
                return [response.status, (await response.json()).object];
            }""",
            server.address,
        )
        page.close()
        other.shutdown()
    assert status == [200, "text_completion"]


class Page(BaseHTTPRequestHandler):
    """An empty page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Be quiet."""


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/page/main.js", "/v1/models", "/nothing", "/health"]
)
def test_responses_have_security_headers(server: ServerProcess, path: str) -> None:
    headers = server.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


def test_pages_refer_to_no_other_site(server: ServerProcess) -> None:
    for _, path in routes():
        if path in ("/", "/docs") or path.startswith("/page/"):
            text = server.get(path).text
            assert "https://" not in text
            assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
            assert "innerHTML" not in text


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_listening_on_all_addresses_needs_an_api_key(host: str, tmp_path: Path) -> None:
    result = anexa("serve", "--host", host, cwd=tmp_path)
    assert f"everybody who can reach {host} could use the server" in one_sentence(result)
    assert result.returncode == 2


@pytest.mark.parametrize(
    ("host", "local"),
    [
        *((host, True) for host in ("127.0.0.1", "127.0.0.2", "127.255.255.254")),
        *((host, True) for host in ("localhost", "Localhost", "::1", "0:0:0:0:0:0:0:1")),
        *((host, False) for host in ("0.0.0.0", "::", "", "128.0.0.1", "10.0.0.1", "fe80::1")),
        *((host, False) for host in ("127.0.0.1.evil.test", "localhost.evil.test", "127.0.0.256")),
    ],
)
def test_addresses_of_this_computer_alone_need_no_api_key(host: str, local: bool) -> None:
    assert is_local(host) == local


@pytest.mark.parametrize("host", ["nosuch.invalid", "203.0.113.1"])
def test_address_of_another_computer_is_refused(host: str, tmp_path: Path) -> None:
    result = anexa("serve", "--host", host, "--api-key", KEY, cwd=tmp_path)
    assert f"--host {host} is not an address of this computer" in one_sentence(result)


def test_openapi_describes_the_api_key_if_there_is_one() -> None:
    for key, security in ((None, None), ("secret", [{"HTTPBearer": []}])):
        schema = create_app(ServerConfig({"anexa": None}, api_key=key), lambda _: None).openapi()
        assert schema["paths"]["/v1/models"]["get"].get("security") == security


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--api-key", ""], "an API key consists of printable ASCII characters"),
        (["--api-key", "schlüssel"], "an API key consists of printable ASCII characters"),
        (["--api-key", " a"], "an API key consists of printable ASCII characters"),
        (["--allow-host", "box:8000"], "--allow-host must be a host name such as box.example"),
        (["--allow-host", "http://box"], "--allow-host must be a host name such as box.example"),
        (
            ["--allow-origin", "*"],
            "--allow-origin must be an origin such as https://a.example, not '*'",
        ),
        (["--allow-origin", "https://a.example/b"], "--allow-origin must be an origin such as"),
        (["--grace", "inf"], "--grace must be a finite number, not inf"),
        (["--grace", "nan"], "--grace must be a finite number, not nan"),
        (["--timeout", "inf"], "--timeout must be a finite number, not inf"),
    ],
)
def test_invalid_option_values_are_refused(
    arguments: list[str], words: str, tmp_path: Path
) -> None:
    result = anexa("serve", *arguments, cwd=tmp_path)
    assert words in one_sentence(result)
    assert result.returncode == 2


def test_server_on_all_addresses_accepts_any_address_as_host(tmp_path: Path) -> None:
    """Names are still refused: an attacker may have made one point to this server."""
    arguments = ["--host", "0.0.0.0", "--api-key", KEY, "--allow-host", "Box.test"]
    with serving(*arguments, "--engine", "numpy", cwd=tmp_path) as server:
        assert server.address.startswith("http://localhost:")
        for host, status in (
            ("192.168.1.5:8000", 200),
            ("[fe80::1]", 200),
            ("box.test", 200),
            ("evil.test", 400),
            ("192.168.1.5.evil.test", 400),
        ):
            assert server.get("/health", headers={"Host": host}).status_code == status
