"""The command ``create``: carts from files and from options."""

from __future__ import annotations

import asyncio
import json
import tomllib
import webbrowser
from pathlib import Path
from typing import Final

import attrs
import pytest
from support.commands import AUTH, run

from hpp_async import ConfigurationError, HPPClient, MerchantURLs, PaymentSession
from hpp_async.cli._flags import FLAGS, naming_flags
from hpp_async.cli._options import words
from hpp_async.testing import Provider

SECRET: Final = "4f3Zq81LmT0pXw7RkV2s"
ONE_LINE: Final = ["--name", "Mug", "--price", "1999", "--country", "SE", "--currency", "SEK"]
CART: Final = """
purchase_country = "SE"
purchase_currency = "SEK"
locale = "sv-SE"
billing_address = { given_name = "Testperson" }

[[order_lines]]
name = "Mug"
quantity = 2
unit_price = 1999
tax_rate = 2500
product_identifiers = { brand = "Mugs" }

[page]
merchant_urls = { success = "https://shop.example/paid" }
options = { place_order_mode = "PLACE_ORDER", background_images = [{ url = "https://shop.example/1.png" }] }
"""


def saved(text: str, path: Path) -> str:
    path.write_text(text, "utf-8")
    return str(path)


def test_create_prints_where_the_session_is_read_and_paid(
    simulated: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("create", *ONE_LINE, "--quantity", "2", "--tax-rate", "2500", "--locale", "sv-SE") == 0

    printed = capsys.readouterr()
    lines = dict(line.split(": ", 1) for line in printed.out.splitlines())
    assert list(lines) == ["session_id", "session_url", "redirect_url", "expires_at"]
    assert lines["session_id"] in simulated.sessions
    assert printed.err.endswith(f" hpp-async wait {lines['session_id']}\n")
    assert run("read", lines["session_url"]) == 0


@pytest.mark.parametrize("form", ["toml", "json"])
def test_create_takes_a_cart_from_a_file(
    simulated: Provider, capsys: pytest.CaptureFixture[str], tmp_path: Path, form: str
) -> None:
    text = CART if form == "toml" else json.dumps(tomllib.loads(CART))

    assert run("create", saved(text, tmp_path / f"cart.{form}"), "--json") == 0

    printed = capsys.readouterr()
    record = json.loads(printed.out)
    assert list(record)[:4] == ["type", "session_id", "session_url", "redirect_url"]
    assert record["type"] == "created"
    assert simulated.life(record["session_id"]).place_order_mode == "PLACE_ORDER"
    assert "Testperson" not in printed.out + printed.err


def test_the_cart_in_the_help_of_create_can_be_read(
    simulated: Provider, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run("create", "--help")
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    first, last = lines.index('purchase_country = "SE"'), lines.index('options = { place_order_mode = "PLACE_ORDER" }')

    assert run("create", saved("\n".join(lines[first : last + 1]), tmp_path / "cart.toml")) == 0


@pytest.mark.parametrize(
    ("cart", "said"),
    [
        ("=", "it is read as TOML, because its name does not end in .json: Invalid statement (at line 1, column 1)"),
        ('purchase_country = "SE"', "purchase_currency is missing"),
        (CART.replace("unit_price = 1999", "unit_price = 19.99"), "order_lines[0]: OrderLine.unit_price: give a whole"),
        (CART.replace("unit_price = 1999", ""), "order_lines[0].unit_price is missing"),
        (
            CART.replace("unit_price", "price"),
            "order_lines[0].price is not known (do you mean unit_price?): for other fields of the provider's, take ",
        ),
        (CART.replace("[page]", "[pages]"), "pages is not known (do you mean page?): for other fields of the"),
        (CART.replace("options =", "option ="), "page.option is not known (do you mean options?): there are "),
        (CART.replace("tax_rate", "vat"), "order_lines[0].vat is not known: for other fields of the provider's, take"),
        (f"vat = 1\n{CART}", "vat is not known: for other fields of the provider's, take extra"),
        (CART.replace('"SE"', '"Sweden"'), "PurchaseOrder.purchase_country: give two letters"),
        (CART.replace("[page]", "[page]\nurls = 1"), "page.urls is not known: there are merchant_urls, options"),
        (CART.replace("success =", "back = 1, success ="), "page.merchant_urls: MerchantURLs.back: give text"),
        (f"customer = 1\n{CART}", "customer is a int: give names with values"),
        (f"{CART.partition('[page]')[0]}\n[page]\nprofile_id = 1", None),
    ],
)
def test_create_refuses_a_cart_by_its_file_and_field(
    simulated: Provider, capsys: pytest.CaptureFixture[str], tmp_path: Path, cart: str, said: str | None
) -> None:
    file = saved(cart, tmp_path / "cart.toml")

    assert run("create", file) == 2

    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"hpp-async: {'profile_id is a int' if said is None else f'{file}: {said}'}")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cart.json", "it is read as JSON, because its name ends in .json: Expecting value: line 2 column 1 (char 1)"),
        ("cart.JSON", "it is read as JSON, because its name ends in .json: Expecting value: line 2 column 1 (char 1)"),
        ("cart", "it is read as TOML, because its name does not end in .json: 'utf-8' codec can't decode byte 0xff "),
    ],
)
def test_an_error_in_a_file_says_that_its_name_decided_between_toml_and_json(
    simulated: Provider, capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, said: str
) -> None:
    file = tmp_path / name
    file.write_bytes(CART.encode() if "." in name else b"\xff")

    assert run("create", str(file)) == 2
    assert capsys.readouterr().err.startswith(f"hpp-async: {file}: {said}")


def test_a_tax_rate_below_one_per_cent_is_remarked_on_and_taken(
    simulated: Provider, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = saved(CART.replace("tax_rate = 2500", "tax_rate = 25"), tmp_path / "cart.toml")

    assert run("create", file) == run("create", *ONE_LINE, "--tax-rate", "19", "--json") == 0

    in_file, _, in_options = capsys.readouterr().err.splitlines()
    assert in_file == "hpp-async: order_lines[0].tax_rate 25 is 0.25 %: if you mean 25 %, give 2500"
    assert in_options == "hpp-async: --tax-rate 19 is 0.19 %: if you mean 19 %, give 1900"


@pytest.mark.parametrize("rate", ["0", "100", "2500"])
def test_nothing_is_said_of_other_tax_rates(simulated: Provider, capsys: pytest.CaptureFixture[str], rate: str) -> None:
    assert run("create", *ONE_LINE, "--tax-rate", rate, "--json") == 0
    assert capsys.readouterr().err == ""


def test_create_says_that_there_is_no_file(simulated: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("create", "no-such-cart.toml") == 2
    assert capsys.readouterr().err == "hpp-async: no-such-cart.toml: No such file or directory\n"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "give a FILE, or all of --name, --price, --country and --currency"),
        (ONE_LINE[:-2], "give a FILE, or all of --name, --price, --country and --currency"),
        ([*ONE_LINE, "cart.toml"], "give a FILE or the options of one line, not both"),
        ([*ONE_LINE, "--country", "Sweden"], "--country: give two letters"),
        ([*ONE_LINE, "--tax-rate", "-1"], "--tax-rate: give hundredths of a per cent"),
        ([*ONE_LINE, "--name", ""], "--name: give text that is not empty"),
        ([*ONE_LINE, "--price", "-1"], "--price and --quantity: give "),
        ([*ONE_LINE, "--success", "shop.example"], "--success: give an absolute URL"),
        (
            [*ONE_LINE, "--back", "https://a.example/", "--cancel", "https://b.example/"],
            "--cancel: it is given together",
        ),
        ([*ONE_LINE, "--failure", "https://a.example/{{sid}}"], "--failure: it has braces that are no placeholder"),
        (
            [*ONE_LINE, "--success", "https://a.example/{{order_id}}"],
            "--success: it has {{order_id}}, and with place_order_mode NONE it is never replaced",
        ),
        (
            [*ONE_LINE, "--status-update", "https://a.example/"],
            "--status-update: callbacks are not signed, so the URL needs a part that nobody can guess: "
            "put a random one into it, such as $(openssl rand -hex 20), ",
        ),
    ],
)
def test_create_refuses_options_by_their_names(
    simulated: Provider, capsys: pytest.CaptureFixture[str], args: list[str], said: str
) -> None:
    assert run("create", *args) == 2
    assert capsys.readouterr().err.startswith(f"hpp-async: {said}")


def test_create_leaves_no_payment_session_behind_where_the_page_is_refused(
    simulated: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    page = ["--success", "https://a.example/{{order_id}}", "--endpoint", "http://127.0.0.1:1"]  # nothing listens there

    assert run("create", *ONE_LINE, *page) == 2
    assert capsys.readouterr().err.startswith("hpp-async: --success: it has {{order_id}}, ")


def test_a_callback_to_this_machine_is_advised_to_listen() -> None:
    session = PaymentSession(session_id="1", session_url="https://api.playground.klarna.com/payments/v1/sessions/1")
    urls = MerchantURLs(status_update=f"http://localhost/{SECRET}")
    client = HPPClient(auth=AUTH, endpoint="EU_PLAYGROUND")
    given = {flag.variable: None for flag in FLAGS} | {"status_update": urls.status_update}

    with pytest.raises(ConfigurationError) as refusal, naming_flags(given):
        asyncio.run(client.create_session(session, merchant_urls=urls))  # it is refused before anything is sent

    assert str(refusal.value) == (
        "--status-update: it is an http URL of this machine, which the provider cannot call: give https, or leave it "
        "out and run hpp-async listen"
    )


PAGE: Final = {
    "--success": "https://a.example/paid?sid={{session_id}}",
    "--failure": "https://a.example/failed",
    "--error": "https://a.example/error",
    "--back": "https://a.example/back",
    "--status-update": f"http://127.0.0.1:1/{SECRET}",
}


def test_create_takes_the_urls_of_the_shop_and_the_mode_from_options(
    simulated: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*words(PAGE), "--place-order-mode", "CAPTURE_ORDER", "--category", "PAY_LATER", "--title", "Mugs"]

    assert run("create", *ONE_LINE, *options, "--json", "-vv") == 0

    printed = capsys.readouterr()
    assert SECRET not in printed.out + printed.err
    life = simulated.life(json.loads(printed.out)["session_id"])
    assert life.merchant_urls == {name[2:].replace("-", "_"): url for name, url in PAGE.items()}
    assert (life.place_order_mode, life.categories, life.page_title) == ("CAPTURE_ORDER", ("PAY_LATER",), "Mugs")


def test_options_about_the_page_go_before_what_the_file_says(
    simulated: Provider, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    options = ["--cancel", "https://a.example/cancelled", "--place-order-mode", "CAPTURE_ORDER"]

    assert run("create", saved(CART, tmp_path / "cart.toml"), *options, "--json") == 0

    life = simulated.life(json.loads(capsys.readouterr().out)["session_id"])
    assert life.merchant_urls == {"success": "https://shop.example/paid", "cancel": "https://a.example/cancelled"}
    assert life.place_order_mode == "CAPTURE_ORDER"


def test_every_url_of_the_shop_has_an_option() -> None:
    urls = {field.name for field in attrs.fields(MerchantURLs)} - {"extra"}

    assert {flag.field for flag in FLAGS if flag.model is MerchantURLs} == urls


@pytest.mark.parametrize("opens", [True, False])
def test_create_opens_the_page(
    simulated: Provider, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], opens: bool
) -> None:
    opened: list[str] = []

    def browse(url: str) -> bool:
        opened.append(url)
        return opens

    monkeypatch.setattr(webbrowser, "open", browse)

    assert run("create", *ONE_LINE, "--open", "--json") == 0

    printed = capsys.readouterr()
    assert opened == [json.loads(printed.out)["redirect_url"]]
    assert printed.err == ("" if opens else "hpp-async: no browser could be opened: open the redirect_url yourself\n")
