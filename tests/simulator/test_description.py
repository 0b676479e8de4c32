"""The simulator's OpenAPI description agrees with the simulator, and with the provider's file where that exists."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import attrs
import httpx
import pytest
import yaml
from support.carts import CART, SHOE

from hpp_async._provider.carts import Cart, first_fault
from hpp_async._provider.customer_tokens import CustomerTokenRequest
from hpp_async._provider.faults import FAULT_KINDS
from hpp_async._provider.plain import URL, Whole
from hpp_async._provider.requests import NEEDED, ContactInformation, Creation, Distribution, operation_of, parsed
from hpp_async._provider.scripts import ACTS
from hpp_async.simulator import Calendar, openapi, serve
from hpp_async.simulator._control import Resource, control_routes
from hpp_async.simulator._journal import Journal
from hpp_async.testing import Fault, Provider, Script

OURS: Final[dict[str, Any]] = json.loads(openapi())
DATA: Final = Path(__file__).parents[3] / "shared" / "data"
OPENAPI: Final = DATA / "klarna-hpp-openapi.yml"
PAYMENTS: Final = DATA / "klarna-payments-openapi.yml"
published = pytest.mark.skipif(
    not (OPENAPI.is_file() and PAYMENTS.is_file()), reason="the provider's OpenAPI files are not in the repository"
)


def theirs(file: Path = OPENAPI) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
    return found


def all_of_theirs() -> list[tuple[str, str, dict[str, Any]]]:
    """Return the operations of the provider's two files."""
    return [operation for file in (OPENAPI, PAYMENTS) for operation in operations(theirs(file))]


def of_the_provider() -> list[tuple[str, str, dict[str, Any]]]:
    """Return the operations that are the provider's; the others are those of the control API."""
    return [operation for operation in operations(OURS) if not operation[1].startswith("/simulator/")]


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, path and description of every operation."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method != "parameters":
                yield method.upper(), path, operation


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return *schema*, or what it refers to."""
    name = schema.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = document["components"]["schemas"][name] if name else schema
    return found


def test_it_is_served_without_credentials() -> None:
    with serve(Provider(now=lambda: datetime.now(UTC))) as url:
        answer = httpx.get(f"{url}/openapi.json", trust_env=False)

    assert answer.json() == OURS
    assert answer.headers["Content-Type"] == "application/json"


def test_it_has_exactly_the_operations_of_the_simulator() -> None:
    found = {(method, re.sub(r"{\w+}", "one", path)) for method, path, _ in of_the_provider()}

    paths = {path for _, path in found}
    assert found == {(method, path) for path in paths for method in operation_of("", path)[2]}


def test_every_operation_has_its_errors() -> None:
    for _, _, operation in of_the_provider():
        assert {"401", "403", "429", "500", "503"} <= operation["responses"].keys()


def described(kind: Any, *, is_required: bool = True) -> dict[str, Any]:
    """Return the OpenAPI schema of *kind*, a type of the requests, without descriptions and formats."""
    if type(None) in get_args(kind):
        return described(get_args(kind)[0], is_required=False)
    null, types = ([], lambda name: name) if is_required else ([None], lambda name: [name, "null"])
    if kind in (str, URL):
        return {"type": types("string"), **({} if kind is str else {"pattern": "://"})}
    if kind is Whole:
        return {"type": types("integer"), "minimum": -(2**63), "maximum": 2**63 - 1}
    if get_origin(kind) is Literal:
        return {"enum": [*get_args(kind), *null]}
    if get_origin(kind) is list:
        return {"type": types("array"), "items": described(get_args(kind)[0])}
    if kind is bool:
        return {"type": types("boolean")}
    if get_origin(kind) is dict:
        return {"type": types("object")}
    fields = {field.name: described(field.type) for field in attrs.fields(attrs.resolve_types(kind))}
    required = required_of(kind)
    return {"type": types("object"), **({"required": required} if required else {}), "properties": fields}


def required_of(kind: type[attrs.AttrsInstance]) -> list[str]:
    return [field.name for field in attrs.fields(kind) if field.default is attrs.NOTHING]


def bare(schema: Any) -> Any:
    """Return *schema* without descriptions and formats, and without what a type does not say."""
    if isinstance(schema, dict):
        return {key: bare(value) for key, value in schema.items() if key not in ("description", "format", "not")}
    return [bare(item) for item in schema] if isinstance(schema, list) else schema


def test_requests_are_described_as_they_are_checked() -> None:
    schemas = OURS["components"]["schemas"]
    methods = [variant["properties"]["method"]["const"] for variant in schemas["DistributionRequest"]["oneOf"]]

    assert bare(schemas["SessionCreationRequest"]) == described(Creation)
    assert sorted(methods) == sorted(NEEDED)
    for variant in schemas["DistributionRequest"]["oneOf"]:
        contact = variant["properties"]["contact_information"]
        assert variant["required"] == required_of(Distribution)
        assert tuple(contact["required"]) == NEEDED[variant["properties"]["method"]["const"]]
        assert contact["properties"].keys() == attrs.fields_dict(ContactInformation).keys()


def typed(schema: Any) -> Any:
    """Return *schema* with the types of its fields alone, and with what it refers to."""
    limits = ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern", "$ref")
    if isinstance(schema, dict):
        schema = resolved(OURS, schema)
        return {key: typed(value) for key, value in bare(schema).items() if key not in limits}
    return [typed(item) for item in schema] if isinstance(schema, list) else schema


def test_carts_are_described_as_they_are_read() -> None:
    cart, update = (OURS["components"]["schemas"][name] for name in ("Cart", "CartUpdate"))

    assert typed(cart) == typed(described(Cart))
    assert update["properties"].keys() == cart["properties"].keys()
    assert "required" not in update


def test_a_customer_token_is_described_as_its_request_is_read() -> None:
    request = OURS["components"]["schemas"]["CustomerTokenRequest"]

    assert typed(request) == typed(described(CustomerTokenRequest))
    assert request["properties"]["description"].items() >= {"minLength": 1, "maxLength": 255}.items()


# -- the control API ---------------------------------------------------------------------------------------------------


def test_every_request_of_the_control_api_is_described_and_no_other() -> None:
    provider = Provider(now=Calendar())
    found = {(method, path) for method, path, _ in operations(OURS)}
    of_others = {(method, path) for method, path, _ in of_the_provider()}

    resources = [(route.path, route.endpoint) for route in control_routes(provider, Journal())]
    assert found - of_others == {
        (method, path) for path, resource in resources if isinstance(resource, Resource) for method in resource.handlers
    }


def test_the_control_api_needs_no_credentials() -> None:
    for _, path, operation in operations(OURS):
        is_control = path.startswith("/simulator/")
        assert (operation.get("security") == []) is is_control
        assert (operation.get("tags") == ["simulator"]) is is_control
        assert ("429" in operation["responses"]) is not is_control


def test_every_act_is_described() -> None:
    word, table, becomes = OURS["components"]["schemas"]["Act"]["oneOf"]

    assert word["enum"] == list(ACTS)
    assert [one["required"] for one in table["oneOf"]] == [[act] for act in ACTS]
    assert table["properties"].keys() == {*ACTS, "fields", "expires_in"}
    assert becomes["properties"].keys() == {"becomes", "after", "fields", "expires_in"}


@pytest.mark.parametrize(
    "body", [{"act": "opens"}, {"acts": [{"opens": 5}, "pays"], "lifetime": 60, "story": "pays"}, {"visitor": "pay"}]
)
def test_what_can_happen_to_a_session_is_described_as_it_is_read(body: dict[str, object]) -> None:
    [variant] = [one for one in OURS["components"]["schemas"]["Acts"]["oneOf"] if one["required"] == [next(iter(body))]]
    with serve(Provider(now=Calendar())) as url:
        answer = httpx.post(f"{url}/simulator/sessions/one/acts", json=body, trust_env=False)

    assert answer.status_code == 404, "the body is right, and there is no such session"
    assert variant["properties"].keys() >= body.keys()


def test_every_fault_is_described_with_all_its_attributes() -> None:
    variants = {one["properties"]["kind"]["const"]: one for one in OURS["components"]["schemas"]["Fault"]["oneOf"]}
    whom = [field for field in attrs.fields(Fault) if field.name != "kind"]

    assert variants.keys() == FAULT_KINDS.keys()
    for name, variant in variants.items():
        own = attrs.fields(FAULT_KINDS[name])
        assert variant["properties"].keys() == {"kind", *(field.name for field in (*own, *whom))}
        assert variant["required"] == ["kind", *(field.name for field in own if field.default is attrs.NOTHING)]


def beyond(schema: dict[str, Any]) -> Iterator[Any]:
    """Yield values just outside the limits of *schema*, but for those of 64 bits."""
    if abs(schema.get("minimum", -(2**63))) < 2**62:
        yield schema["minimum"] - 1
    if schema.get("maximum", 2**63) < 2**62:
        yield schema["maximum"] + 1
    if "minLength" in schema:
        yield "x" * (schema["minLength"] - 1)
    if "maxLength" in schema:
        yield "x" * (schema["maxLength"] + 1)
    if "pattern" in schema:
        yield "?"


def test_the_limits_of_a_cart_are_those_that_are_checked() -> None:
    schemas = OURS["components"]["schemas"]
    carts = [
        (name, CART | {name: value})
        for name, schema in schemas["Cart"]["properties"].items()
        for value in beyond(schema)
    ]
    carts += [
        (f"order_lines[0].{name}", CART | {"order_lines": [SHOE | {name: value}]})
        for name, schema in schemas["OrderLine"]["properties"].items()
        for value in beyond(schema)
    ]

    assert len(carts) > 20
    assert [first_fault(parsed(cart, Cart)) for _, cart in carts] == [name for name, _ in carts]


def test_the_example_of_a_cart_is_right() -> None:
    for path in ("/payments/v1/sessions", "/payments/v1/authorizations/{authorizationToken}/order"):
        example = OURS["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"]

        assert first_fault(parsed(example, Cart)) is None


# -- the provider's own file -------------------------------------------------------------------------------------------


@published
def test_it_has_the_operations_of_the_provider_and_their_names() -> None:
    assert {(method, path, operation["operationId"]) for method, path, operation in of_the_provider()} == {
        (method, path, operation["operationId"]) for method, path, operation in all_of_theirs()
    }


@published
def test_it_has_every_answer_of_the_provider_that_the_simulator_gives() -> None:
    never = {("POST", "/hpp/v1/sessions/{session_id}/distribution", "201")}  # the simulator answers 204 instead
    gateways = {"429", "500", "502", "503", "504"}  # which the provider's file leaves out
    ours = {(method, path, code) for method, path, found in of_the_provider() for code in found["responses"]}
    published = {(method, path, code) for method, path, found in all_of_theirs() for code in found["responses"]}

    assert ours >= published - never
    # The file of the Payments API leaves 401 out, too.
    assert {entry for entry in ours - published if entry[2] not in gateways} == {
        (method, path, "401") for method, path, _ in of_the_provider() if path.startswith("/payments/")
    }


@published
@pytest.mark.parametrize(
    ("our_name", "their_name"),
    [
        ("SessionCreationRequest", "SessionCreationRequestV1"),
        ("SessionCreationResponse", "SessionCreationResponseV1"),
        ("Session", "SessionResponseV1"),
        ("Customer", "CustomerV1"),
    ],
)
def test_its_fields_are_the_providers(our_name: str, their_name: str) -> None:
    published = theirs()
    not_offered = {"manual_identification_check_url", "distribution_module"}

    def fields(document: dict[str, Any], schema: dict[str, Any], path: str = "") -> Iterator[str]:
        schema = resolved(document, schema)
        if "items" in schema:
            yield from fields(document, schema["items"], path)
        for name, inner in schema.get("properties", {}).items():
            yield path + name
            yield from fields(document, inner, f"{path}{name}.")

    found = set(fields(published, published["components"]["schemas"][their_name]))
    ours = set(fields(OURS, OURS["components"]["schemas"][our_name]))
    assert ours == {name for name in found if name.partition(".")[0] not in not_offered}


@published
@pytest.mark.parametrize(
    ("our_name", "their_names"),
    [
        ("Cart", ["session_create", "create_order_request"]),
        ("OrderLine", ["order_line"]),
        ("PaymentSessionCreated", ["merchant_session"]),
        ("Order", ["order"]),
        ("CustomerTokenRequest", ["customer_token_creation_request"]),
    ],
)
def test_its_fields_are_those_of_the_payments_api(our_name: str, their_names: list[str]) -> None:
    document = theirs(PAYMENTS)
    schemas = [document["components"]["schemas"][name] for name in their_names]
    ours = OURS["components"]["schemas"][our_name]

    assert ours["properties"].keys() == {
        name for schema in schemas for name, field in schema["properties"].items() if not field.get("readOnly")
    }
    for schema in schemas:
        assert set(schema["required"]) <= set(ours["required"])


@published
def test_a_read_has_the_fields_of_the_payments_api() -> None:
    read = theirs(PAYMENTS)["components"]["schemas"]["session_read"]["properties"].keys()

    assert read == OURS["components"]["schemas"]["PaymentSession"]["properties"].keys()


def examples(document: dict[str, Any], schema: dict[str, Any]) -> Iterator[Any]:
    """Yield values that *schema* allows: each field alone beside the required ones, with each of its values."""
    schema = resolved(document, schema)
    match schema["type"]:
        case "object":
            properties = schema.get("properties", {})
            needed = {name: next(examples(document, properties[name])) for name in schema.get("required", [])}
            yield needed
            for name, inner in properties.items():
                yield from ({**needed, name: value} for value in examples(document, inner))
        case "array":
            yield []
            yield from ([value] for value in examples(document, schema["items"]))
        case "integer":
            yield from (0, -1, 2**63 - 1)
        case _ if "enum" in schema:
            yield from schema["enum"]
        case _:
            yield from (schema.get("example", "text"), schema.get("example", ""))


@published
def test_no_creation_that_the_provider_allows_is_refused() -> None:
    document = theirs()
    provider = Provider(now=lambda: datetime.now(UTC), quota=None, creation_quota=None, consumer=Script())
    headers = {"authorization": "Basic " + b64encode(b"PK1_a:b").decode()}
    allowed = list(examples(document, document["components"]["schemas"]["SessionCreationRequestV1"]))

    codes = {
        provider.answer("POST", "/hpp/v1/sessions", headers, json.dumps(request).encode()).status_code
        for request in allowed
    }

    assert len(allowed) > 40
    assert codes == {201}


@published
def test_no_distribution_that_the_provider_allows_is_refused() -> None:
    document = theirs()
    provider = Provider(now=lambda: datetime.now(UTC), quota=None)
    path = f"/hpp/v1/sessions/{provider.create()}/distribution"
    # The schema leaves out which contact information each method needs; the descriptions say it.
    known = {"email": "test@example.com", "phone": "07000212345", "phone_country": "SE", "access_id": "278352"}
    requests = list(examples(document, document["components"]["schemas"]["DistributionRequestV1"]))
    filled = [{**request, "contact_information": known | request["contact_information"]} for request in requests]

    codes = [
        provider.answer("POST", path, {"authorization": "Basic x"}, json.dumps(request).encode()).status_code
        for request in filled
    ]

    assert len(codes) > 10
    assert set(codes) == {204}
