"""Where requests may go, and with which credentials: what is refused, and that no refusal shows a secret."""

from __future__ import annotations

import base64

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hpp_async import ConfigurationError, Endpoint, HPPClient
from hpp_async._core.credentials import Auth, Credentials
from hpp_async._core.endpoint import Target
from hpp_async._core.hidden import Hidden

EU = Target.of(Endpoint.EU_PLAYGROUND)
MARKER = "Zq7Zq"
SESSIONS = "https://api.playground.klarna.com/hpp/v1/sessions"
TARGETS = [
    *map(Target.of, Endpoint),
    Target.of("https://proxy.example:8443/klarna"),
    Target.of("http://127.0.0.1:8000"),
    Target.of("http://[::1]:8000/a/b/"),
]


# -- endpoints ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "quota"),
    [
        (Endpoint.EU_LIVE, 200.0),
        (Endpoint.NA_PLAYGROUND, 50.0),
        (Endpoint.OC_LIVE, 200.0),
        (Endpoint.KUSTOM_PLAYGROUND, 50.0),
    ],
)
def test_an_endpoint_knows_its_environment(endpoint: Endpoint, quota: float) -> None:
    assert (endpoint.is_live, endpoint.quota) == (quota == 200.0, quota)


@pytest.mark.parametrize(
    ("text", "base_url", "member"),
    [
        (Endpoint.EU_LIVE, "https://api.klarna.com", Endpoint.EU_LIVE),
        ("EU_LIVE", "https://api.klarna.com", Endpoint.EU_LIVE),
        ("https://api.klarna.com/", "https://api.klarna.com", Endpoint.EU_LIVE),
        ("HTTPS://API.Klarna.com:443", "https://API.Klarna.com:443", Endpoint.EU_LIVE),
        ("https://api.klarna.com:444", "https://api.klarna.com:444", None),
        ("https://proxy.example/klarna/", "https://proxy.example/klarna", None),
        ("http://localhost:8000", "http://localhost:8000", None),
        ("http://127.1.2.3", "http://127.1.2.3", None),
        ("http://[::1]:8000", "http://[::1]:8000", None),
    ],
)
def test_an_endpoint_is_a_member_its_name_or_a_url(text: str, base_url: str, member: Endpoint | None) -> None:
    target = Target.of(text)

    assert (target.base_url, target.member) == (base_url, member)
    assert target.url("s1") == f"{base_url}/hpp/v1/sessions/s1"


@pytest.mark.parametrize(
    ("endpoint", "what_to_change"),
    [
        ("", "give one of EU_LIVE, "),
        ("eu_live", "give one of EU_LIVE, "),
        ("api.klarna.com", "give one of EU_LIVE, "),
        ("ftp://api.klarna.com", "give one of EU_LIVE, "),
        ("https://", "give one of EU_LIVE, "),
        ("https://api.klarna.com:port", "give one of EU_LIVE, "),
        ("https://api.klarna.com:99999", "give one of EU_LIVE, "),
        ("https://[::1", "give one of EU_LIVE, "),
        ("https://api klarna.com", "give one of EU_LIVE, "),
        ("https://api.klarna.com\n", "give one of EU_LIVE, "),
        ("https://api.klarna.com\\@evil.example", "give one of EU_LIVE, "),
        ("https://api%2eklarna.com", "give one of EU_LIVE, "),
        ("https://<host>", "give one of EU_LIVE, "),
        ("https://api.klärna.com", "give one of EU_LIVE, "),
        ("https://api..klarna.com", "api..klarna.com is not a host name"),
        (f"https://{'a' * 64}.example", "is not a host name: each part has 1 to 63 characters"),
        ("https://me:pw@api.klarna.com", "without credentials"),
        ("https://@api.klarna.com", "without credentials"),
        ("https://api.klarna.com?q=1", "without credentials, query"),
        ("https://api.klarna.com#f", "without credentials, query and fragment"),
        ("http://api.klarna.com", "use https"),
        ("http://127.0.0.1.evil.example", "use https"),
        ("http://10.0.0.1", "use https"),
        (SESSIONS, "without /hpp/v1/sessions"),
        (f"{SESSIONS}/s1", "without /hpp/v1/sessions"),
        (None, "give an Endpoint member or a base URL"),
        (443, "give an Endpoint member or a base URL"),
    ],
)
def test_an_invalid_endpoint_is_refused_with_what_to_change(endpoint: object, what_to_change: str) -> None:
    with pytest.raises(ConfigurationError, match=what_to_change):
        Target.of(endpoint)  # type: ignore[arg-type]  # what users may pass


@given(st.text(max_size=20), st.sampled_from(["https", "http", "ftp"]))
def test_a_refused_endpoint_does_not_show_the_password_in_it(password: str, scheme: str) -> None:
    """Users paste whole URLs, credentials included."""
    with pytest.raises(ConfigurationError) as caught:
        Target.of(f"{scheme}://user:{MARKER}{password}@api.klarna.com")

    assert MARKER not in str(caught.value)


# -- session ids and session_urls ---------------------------------------------------------------------------------


@pytest.mark.parametrize("session", ["s1", "39a1c773-bafd-754d-af1f", "A_b-9", "x" * 128])
def test_an_id_and_its_session_url_are_the_same_session(session: str) -> None:
    for target in TARGETS:
        assert target.session_id(session) == session
        assert target.session_id(target.url(session)) == session


@pytest.mark.parametrize(
    "session_url",
    [
        "HTTPS://api.playground.klarna.com/hpp/v1/sessions/s1",
        "https://API.playground.Klarna.COM/hpp/v1/sessions/s1",
        "https://api.playground.klarna.com:443/hpp/v1/sessions/s1",
    ],
)
def test_a_session_url_is_accepted_however_its_host_is_spelled(session_url: str) -> None:
    assert EU.session_id(session_url) == "s1"


@pytest.mark.parametrize(
    "session", ["", " ", "a b", "x" * 129, "..", "s1?x", "s1#x", "s1%2f", "s\n1", "s1\n", "sé", "K\u212a", "a\\b"]
)
def test_text_that_cannot_be_an_id_is_refused(session: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a session id: ids are up to 128 letters"):
        EU.session_id(session)


@pytest.mark.parametrize(
    "session_url",
    [
        "http://api.playground.klarna.com/hpp/v1/sessions/s1",
        "https://api.klarna.com/hpp/v1/sessions/s1",
        "https://api.playground.klarna.com:444/hpp/v1/sessions/s1",
        "https://api.playground.klarna.com.evil.example/hpp/v1/sessions/s1",
        "https://evil.example/hpp/v1/sessions/s1",
        "https://api.playground.klarna.com@evil.example/hpp/v1/sessions/s1",
        "https://user:pw@api.playground.klarna.com/hpp/v1/sessions/s1",
        "https://evil.example\\@api.playground.klarna.com/hpp/v1/sessions/s1",
        "//api.playground.klarna.com/hpp/v1/sessions/s1",
        "/hpp/v1/sessions/s1",
        "../s1",
        "api.playground.klarna.com:443",
        "https://api.playground.klarna.com:x/hpp/v1/sessions/s1",
        "https://api.playground.klarna.com/hpp/v1/sessions/s1\n",
        "https://api.playground.klarna.com\t/hpp/v1/sessions/s1",
    ],
)
def test_a_session_url_on_another_host_is_refused(session_url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"not on this client's endpoint https://api\."):
        EU.session_id(session_url)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/s1",
        "/hpp/v1/sessions",
        "/hpp/v1/sessions/",
        "/hpp/v2/sessions/s1",
        "/hpp/v1/sessions/s1/",
        "/hpp/v1/sessions/s1/x",
        "/hpp/v1/sessions/../s1",
        "/hpp/v1/sessions/..",
        "//hpp/v1/sessions/s1",
        "/x/hpp/v1/sessions/s1",
        "/hpp/v1/sessions/s1?x=1",
        "/hpp/v1/sessions/s1#x",
        "/hpp/v1/sessions/" + "x" * 129,
    ],
)
def test_a_url_of_another_shape_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match=r"is not of the form https://.*/hpp/v1/sessions/<session_id>"):
        EU.session_id("https://api.playground.klarna.com" + path)


@pytest.mark.parametrize("session", [None, 5, b"s1", object()], ids=type)
def test_a_session_that_is_not_text_is_refused(session: object) -> None:
    with pytest.raises(ConfigurationError, match="give a session id or a session_url"):
        EU.session_id(session)  # type: ignore[arg-type]  # what users may pass


hostile = st.text(alphabet="aZ0-_./\\:@?#%&=;[]~ \t\n\r\x00é\u2044\uff0f\u3002", max_size=24)


@given(st.sampled_from(TARGETS), hostile, st.sampled_from(["", "{0}/", "{0}", "{1}", "//", "https://"]))
@example(EU, "s1", "")
@example(EU, "s1", "{0}/")
@example(EU, "@evil.example/hpp/v1/sessions/s1", "{1}")
def test_no_accepted_session_changes_where_the_request_goes(target: Target, text: str, start: str) -> None:
    """For any text that is accepted as a session, the request goes to the host and the path of the endpoint."""
    base = httpx.URL(target.base_url)
    try:
        session_id = target.session_id(start.format(target.url("")[:-1], target.base_url) + text)
    except ConfigurationError:
        return

    url = httpx.URL(target.url(session_id))
    prefix = base.path.rstrip("/")
    assert (url.scheme, url.host, url.port) == (base.scheme, base.host, base.port)
    assert url.raw_path == f"{prefix}/hpp/v1/sessions/{session_id}".encode()
    assert (url.userinfo, url.query, url.fragment) == (b"", b"", "")


# -- credentials --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("auth", "authorization"),
    [
        (("PK12345_abc", "secret"), "Basic " + base64.b64encode(b"PK12345_abc:secret").decode()),
        (("user", "with:colon and blank"), "Basic " + base64.b64encode(b"user:with:colon and blank").decode()),
        (("user", "påss"), "Basic " + base64.b64encode("user:påss".encode()).decode()),
        ("klarna_test_api_abc", "Basic klarna_test_api_abc"),
    ],
)
def test_credentials_become_a_header_that_is_never_shown(auth: Auth, authorization: str) -> None:
    credentials = Credentials.of(Hidden(auth), EU)

    assert credentials.authorization == authorization
    assert repr(credentials) == "Credentials()"


@pytest.mark.parametrize(
    ("auth", "what_to_change"),
    [
        ("", "the API key is empty"),
        (" ", "the API key is empty"),
        ("key ", "has blanks or a line break around it"),
        ("key\n", "has blanks or a line break around it"),
        ("Basic key", "has characters that cannot be sent"),
        ("kéy", "has characters that cannot be sent"),
        ("k\x00y", "has characters that cannot be sent"),
        (("", "secret"), "the username is empty"),
        (("user", ""), "the password is empty"),
        (("user", " secret"), "the password has blanks"),
        (("user\n", "secret"), "the username has blanks"),
        (("us\ner", "secret"), "the username has characters that cannot be sent"),
        (("user", "sec\ud800ret"), "the password has characters that cannot be sent"),
        (("user:secret", "secret"), "the username has a ':' in it"),
        ((), "give .username, password. or an API key string"),
        (("user",), "give .username, password. or an API key string"),
        (("user", "secret", "more"), "give .username, password. or an API key string"),
        (("user", None), "give .username, password. or an API key string"),
        (["user", "secret"], "give .username, password. or an API key string"),
        (None, "give .username, password. or an API key string"),
        (b"key", "give .username, password. or an API key string"),
    ],
)
def test_invalid_credentials_are_refused_with_what_to_change(auth: object, what_to_change: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^auth: .*{what_to_change}"):
        Credentials.of(Hidden(auth), EU)  # type: ignore[arg-type]  # what users may pass


PREFIXED = {
    "K123456_abc": {"EU_LIVE", "NA_LIVE", "OC_LIVE", "KUSTOM_LIVE"},
    "PK12345_abc": {"EU_PLAYGROUND", "NA_PLAYGROUND", "OC_PLAYGROUND", "KUSTOM_PLAYGROUND"},
    "klarna_live_api_abc": {"EU_LIVE", "NA_LIVE", "OC_LIVE"},
    "klarna_test_api_abc": {"EU_PLAYGROUND", "NA_PLAYGROUND", "OC_PLAYGROUND"},
    "kco_live_api_abc": {"KUSTOM_LIVE"},
    "kco_test_api_abc": {"KUSTOM_PLAYGROUND"},
    "anything-else": set(Endpoint.__members__),
}


@pytest.mark.parametrize("secret", PREFIXED)
@pytest.mark.parametrize("endpoint", Endpoint, ids=lambda endpoint: endpoint.name)
def test_a_prefix_of_another_environment_is_refused(secret: str, endpoint: Endpoint) -> None:
    for auth in (secret, (secret, "secret"), ("user", secret)):
        if endpoint.name in PREFIXED[secret]:
            Credentials.of(Hidden(auth), Target.of(endpoint))
            continue
        with pytest.raises(ConfigurationError, match=f"the endpoint is {endpoint.name}: change one of the two"):
            Credentials.of(Hidden(auth), Target.of(endpoint))


@pytest.mark.parametrize(
    ("secret", "endpoint", "belongs_to"),
    [
        ("K1_a", "EU_PLAYGROUND", "the live environment"),
        ("PK1_a", "EU_LIVE", "the playground"),
        ("klarna_live_x", "KUSTOM_LIVE", "Klarna's live environment"),
        ("kco_test_x", "EU_PLAYGROUND", "Kustom's playground"),
    ],
)
def test_the_refusal_says_where_a_prefix_belongs(secret: str, endpoint: str, belongs_to: str) -> None:
    with pytest.raises(ConfigurationError, match=f"which belongs to {belongs_to}, and"):
        Credentials.of(Hidden(secret), Target.of(endpoint))


def test_a_prefix_is_not_compared_with_a_custom_base_url() -> None:
    Credentials.of(Hidden("klarna_live_api_abc"), Target.of("http://localhost:8000"))


secrets = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", " ", "K123_", "PK123_", "klarna_live_", "klarna_test_", "kco_live_", "kco_test_"]),
    st.just(MARKER),
    st.text(max_size=30),
)


@given(secrets, st.sampled_from(Endpoint))
def test_no_refusal_repeats_a_secret(secret: str, endpoint: Endpoint) -> None:
    """Whatever is wrong with the credentials, the message says what, and shows no part of them."""
    for auth in (secret, (secret, "x"), ("user", secret)):
        try:
            shown = repr(HPPClient(auth=auth, endpoint=endpoint))
        except ConfigurationError as error:
            shown = f"{error} {error!r} {error.__context__!r}"

        assert MARKER not in shown
