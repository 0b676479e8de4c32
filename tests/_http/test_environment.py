"""Proxies and certificates of the environment, and refusals that name the variable."""

from __future__ import annotations

import ssl
from pathlib import Path

import anyio
import certifi
import httpx
import pytest
from support.servers import request_of, serve, wire

from hpp_async import ConfigurationError, HPPClient, TransportError
from hpp_async._core.endpoint import Target
from hpp_async._http.environment import Environment
from hpp_async._http.family import family
from hpp_async.testing import Answer, Provider, VirtualClock

AUTH = ("user", "secret-pw")
PROVIDER = "https://api.klarna.com"
NAMES = ("http", "https", "all", "no")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*(f"{name}_proxy" for name in NAMES), *(f"{name}_PROXY".upper() for name in NAMES)]:
        monkeypatch.delenv(name, raising=False)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)


def proxy_to(url: str) -> str | None:
    proxy = Environment.of(Target.of(url), family("httpx")).proxy
    return None if proxy is None else str(proxy.url)


def set_all(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


# -- proxies -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://proxy.example:3128"}, "http://proxy.example:3128"),
        ({"https_proxy": "proxy.example:3128"}, "http://proxy.example:3128"),
        ({"ALL_PROXY": "http://proxy.example"}, "http://proxy.example"),
        ({"ALL_PROXY": "http://all.example", "HTTPS_PROXY": "http://one.example"}, "http://one.example"),
        ({"HTTP_PROXY": "http://proxy.example"}, None),
        ({"HTTPS_PROXY": ""}, None),
    ],
)
def test_a_proxy_is_taken_from_the_environment_as_httpx_takes_it(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], proxy: str | None
) -> None:
    set_all(monkeypatch, variables)

    assert proxy_to(PROVIDER) == proxy


@pytest.mark.parametrize(
    ("exempt", "is_exempt"),
    [
        ("api.klarna.com", True),
        ("elsewhere.example, klarna.com", True),
        (".klarna.com", True),
        (".api.klarna.com", False),
        ("larna.com", False),
        ("*", True),
        ("", False),
        (" , ", False),
        ("https://api.klarna.com", True),
        ("http://api.klarna.com", False),
        ("https://", True),
        ("api.klarna.com:443", False),  # httpx knows the port of the URL only where it is not the scheme's own
        ("::1", False),
        ("10.0.0.1", False),
        ("localhost", False),
    ],
)
def test_hosts_are_exempt_from_the_proxy_as_in_httpx(
    monkeypatch: pytest.MonkeyPatch, exempt: str, is_exempt: bool
) -> None:
    set_all(monkeypatch, {"HTTPS_PROXY": "http://proxy.example", "NO_PROXY": exempt})

    assert (proxy_to(PROVIDER) is None) is is_exempt
    assert _is_exempt_in_httpx() is is_exempt


def _is_exempt_in_httpx() -> bool:
    client = httpx.AsyncClient(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    return client._transport_for_url(httpx.URL(PROVIDER)) is client._transport


@pytest.mark.parametrize("host", ["10.1.2.3", "[fd00::1]"])
def test_an_address_is_exempt_by_itself(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    set_all(monkeypatch, {"HTTPS_PROXY": "http://proxy.example", "NO_PROXY": host.strip("[]")})

    assert proxy_to(f"https://{host}") is None
    assert proxy_to("https://10.1.2.4") == "http://proxy.example"


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize(
    "value", ["socks4://host:9", "http://", "ftp://u:secret-pw@host", "http://a b", "http://h:x", "http://h:99999"]
)
def test_a_proxy_that_cannot_be_used_is_refused_when_the_client_is_made(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"^{name} is not a proxy that can be used") as caught:
        HPPClient(auth=AUTH, endpoint=PROVIDER)

    assert "secret-pw" not in str(caught.value)


@pytest.mark.parametrize("is_installed", [False, True])
def test_a_socks_proxy_needs_socksio(monkeypatch: pytest.MonkeyPatch, is_installed: bool) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    monkeypatch.setattr(
        "hpp_async._http.environment.find_spec", lambda name: name if is_installed and name == "socksio" else None
    )
    if is_installed:
        assert proxy_to(PROVIDER) == "socks5://127.0.0.1:1080"
    else:
        with pytest.raises(ConfigurationError, match=r"^ALL_PROXY names a SOCKS proxy.*httpx\[socks\]"):
            proxy_to(PROVIDER)


@pytest.mark.parametrize(
    ("value", "shown"), [("localhost,[::1]", "[::1]"), ("fe80::/10", "fe80::/10"), ("a@secret-pw:x", None)]
)
@pytest.mark.parametrize("endpoint", [PROVIDER, "http://localhost:9"])
def test_an_exemption_that_httpx_cannot_read_is_refused(
    monkeypatch: pytest.MonkeyPatch, value: str, shown: str | None, endpoint: str
) -> None:
    monkeypatch.setenv("NO_PROXY", value)
    with pytest.raises(ConfigurationError, match=r"^NO_PROXY has an entry") as caught:
        HPPClient(auth=AUTH, endpoint=endpoint)

    assert shown is None or shown in str(caught.value)
    assert "secret-pw" not in str(caught.value)


def test_a_setting_of_the_system_has_no_name_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpp_async._http.environment.getproxies", lambda: {"https": "socks4://host"})
    with pytest.raises(ConfigurationError, match=r"^the system's proxy setting is not a proxy"):
        proxy_to(PROVIDER)


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY", "http_proxy"])
async def test_a_loopback_endpoint_is_never_reached_through_a_proxy(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    model = Provider(now=VirtualClock().provider_time, quota=None)
    session = model.create()
    at_proxy: list[bytes] = []

    async def proxy(head: bytes, _: object) -> bytes:
        at_proxy.append(head)
        return wire(Answer(status_code=502, headers={}))

    async def provider(head: bytes, _: object) -> bytes:
        return wire(model.answer(*request_of(head)))

    with anyio.fail_after(30):
        async with serve(proxy) as proxy_url, serve(provider) as url:
            monkeypatch.setenv(name, proxy_url)
            for endpoint in (url, url.replace("127.0.0.1", "localhost")):
                async with HPPClient(auth=AUTH, endpoint=endpoint) as client:
                    reading = await client.read_session(session)

                    assert reading.status == "WAITING"

    assert at_proxy == []


@pytest.mark.anyio
async def test_another_endpoint_is_reached_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    at_proxy: list[bytes] = []

    async def proxy(head: bytes, _: object) -> bytes:
        at_proxy.append(head)
        return wire(Answer(status_code=502, headers={}))

    with anyio.fail_after(30):
        async with serve(proxy) as proxy_url:
            monkeypatch.setenv("HTTPS_PROXY", proxy_url)
            async with HPPClient(auth=AUTH, endpoint="EU_PLAYGROUND", attempts=1) as client:
                with pytest.raises(TransportError):
                    await client.read_session("session")

    assert [head.splitlines()[0] for head in at_proxy] == [b"CONNECT api.playground.klarna.com:443 HTTP/1.1"]
    assert b"secret" not in at_proxy[0]


# -- certificates --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("SSL_CERT_FILE", "/nowhere/ca.pem", "No such file"),
        ("SSL_CERT_FILE", __file__, "no certificate in PEM format"),
        ("SSL_CERT_FILE", "/", ""),
        ("SSL_CERT_DIR", "/nowhere", "not a directory with certificates"),
        ("SSL_CERT_DIR", __file__, "not a directory with certificates"),
        ("SSL_CERT_DIR", str(Path(__file__).parent), "not a directory with certificates"),
        ("SSLKEYLOGFILE", "/nowhere/keys.log", "No such file"),
    ],
)
def test_certificates_that_cannot_be_read_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"^{name} .*{reason}"):
        HPPClient(auth=AUTH, endpoint=PROVIDER)


def test_certificates_are_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "0a1b2c3d.0").write_bytes(Path(certifi.where()).read_bytes())
    monkeypatch.setenv("SSL_CERT_DIR", f"/nowhere:{tmp_path}")
    of_directory = Environment.of(Target.of(PROVIDER), family("httpx")).ssl_context
    monkeypatch.setenv("SSL_CERT_FILE", certifi.where())
    of_file = Environment.of(Target.of(PROVIDER), family("httpx")).ssl_context

    assert (
        of_directory.cert_store_stats()["x509_ca"] == 0
    )  # OpenSSL loads a certificate from the directory when it is needed
    assert of_file.cert_store_stats()["x509_ca"] > 0


def test_a_lent_client_brings_its_own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    http_client = httpx.AsyncClient()
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")

    HPPClient(auth=AUTH, endpoint=PROVIDER, http_client=http_client)
