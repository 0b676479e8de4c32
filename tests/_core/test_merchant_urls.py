"""Which URLs are taken: placeholders that are replaced, callbacks that nobody else can send."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.orders import SECRET

from hpp_async import ConfigurationError, MerchantURLs, OrderURLs, Placeholder, callback_secret, is_callback_secret

REDIRECTS = ("success", "back", "cancel", "failure", "error")
CALLBACKS = ("notification", "push", "authorization")


def test_placeholders_are_text() -> None:
    url = f"https://shop.example/paid?sid={Placeholder.SESSION_ID}&token={Placeholder.AUTHORIZATION_TOKEN}"

    assert url == "https://shop.example/paid?sid={{session_id}}&token={{authorization_token}}"
    assert MerchantURLs(success=url).success == url


@pytest.mark.parametrize("name", REDIRECTS)
@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/?sid={{session_id}}",
        "http://localhost:8000/back",
        "http://shop.example/back",
        "shop-app://checkout/done?order={{order_id}}",
        "https://shop.example/%C3%A5",
        "https://{{session_id}}.shop.example/",
    ],
)
def test_a_consumer_can_come_back_to_any_absolute_url(name: str, url: str) -> None:
    assert MerchantURLs(**{name: url}).given == {name: url}  # type: ignore[arg-type]  # any of its names


@pytest.mark.parametrize("name", [*REDIRECTS, "status_update"])
@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "give text that is not empty"),
        ("/paid", "give an absolute URL, such as https://shop.example/paid"),
        ("shop.example/paid", "give an absolute URL"),
        ("https://", "give an absolute URL"),
        ("https://[::1", "give an absolute URL"),
        ("https://shop.example/å", "encode them"),
        ("https://shop.example/a b", "encode them"),
        ("https://shop.example/" + "x" * 2000, "at most 2000 characters"),
        (
            "https://shop.example/{{sessionid}}",
            "are no placeholder: the provider replaces {{session_id}}, ",
        ),
        ("https://shop.example/{session_id}", "braces that are no placeholder"),
        ("https://shop.example/{{order.id}}", "braces that are no placeholder"),
        ("https://shop.example/{{session_id}", "braces that are no placeholder"),
    ],
)
def test_what_is_no_url_is_refused(name: str, url: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        MerchantURLs(**{name: url})  # type: ignore[arg-type]  # any of its names

    assert str(caught.value).startswith(f"MerchantURLs.{name}: ")
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["back", "cancel", "failure", "error", "status_update"])
def test_a_token_is_never_put_into_another_url_than_success(name: str) -> None:
    url = f"https://shop.example/{SECRET}?token={Placeholder.AUTHORIZATION_TOKEN}"
    with pytest.raises(ConfigurationError, match=rf"MerchantURLs\.{name}: .*is replaced in success only"):
        MerchantURLs(**{name: url})  # type: ignore[arg-type]  # any of its names


# -- callbacks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["http", "ftp", "shop-app"])
@pytest.mark.parametrize("name", ["status_update", *CALLBACKS])
def test_callbacks_come_over_https(name: str, scheme: str) -> None:
    model = MerchantURLs if name == "status_update" else OrderURLs
    with pytest.raises(ConfigurationError, match=rf"\.{name}: callbacks need https: give an https URL"):
        model(**{name: f"{scheme}://shop.example/{SECRET}"})  # type: ignore[arg-type]  # any of its names


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:9"])
def test_or_stay_on_this_machine(host: str) -> None:
    assert MerchantURLs(status_update=f"http://{host}/{SECRET}").status_update
    assert OrderURLs(push=f"http://{host}/push", notification=f"http://{host}/n/{{order.id}}").push


GUESSABLE = [
    "https://shop.example/klarna",
    "https://shop.example/klarna?order=4711",
    "https://shop.example/klarna-status-update-callback-handler",
    "https://shop.example/klarna?order=20261128000000000000004711",
    "https://shop.example/klarna?secret=secret1",
    "https://shop.example/klarna?sid={{session_id}}",
    "https://shop.example/klarna?sid={{session_id}}-0b1d9815-165e",
]


@pytest.mark.parametrize("url", GUESSABLE)
def test_a_callback_that_anybody_could_send_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"MerchantURLs\.status_update: .*callback_secret\(\)"):
        MerchantURLs(status_update=url)


@pytest.mark.parametrize(
    "make",
    [
        callback_secret,
        lambda: str(uuid.uuid4()),
        lambda: secrets.token_urlsafe(16),
        lambda: str(uuid.uuid4()).upper(),
        lambda: "".join(secrets.choice("0123456789") for _ in range(32)),
    ],
)
@pytest.mark.parametrize("form", ["https://shop.example/klarna/{}/x", "https://shop.example/klarna?a=1&secret={}"])
def test_a_secret_is_one_wherever_it_is_and_whoever_made_it(make: Callable[[], str], form: str) -> None:
    for _ in range(200):
        assert MerchantURLs(status_update=form.format(make())).status_update


def test_every_secret_is_another_one() -> None:
    made = {callback_secret() for _ in range(100)}

    assert len(made) == 100
    assert {len(secret) for secret in made} == {32}


@given(st.text(), st.text())
def test_a_secret_is_known_by_itself_alone(given: str, secret: str) -> None:
    assert is_callback_secret(given, secret) is (bool(secret) and given == secret)


@pytest.mark.parametrize(("given", "secret"), [(None, "x"), ("", ""), (None, ""), ("x", ""), ("", "x")])
def test_nothing_is_no_secret(given: str | None, secret: str) -> None:
    assert not is_callback_secret(given, secret)
