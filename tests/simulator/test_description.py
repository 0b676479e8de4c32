"""The simulator's OpenAPI description agrees with the simulator, and with the provider's file where that exists."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import attrs
import httpx
import pytest
import yaml

from hpp_async._provider.plain import URL, Whole
from hpp_async._provider.requests import NEEDED, ContactInformation, Creation, Distribution, operation_of
from hpp_async.simulator import openapi, serve
from hpp_async.testing import Provider, Script

OURS: Final[dict[str, Any]] = json.loads(openapi())
OPENAPI: Final = Path(__file__).parents[3] / "shared" / "data" / "klarna-hpp-openapi.yml"
published = pytest.mark.skipif(not OPENAPI.is_file(), reason="the provider's OpenAPI file is not in the repository")


def theirs() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(OPENAPI.read_text("utf-8"))
    return found


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
    found = {(method, path.replace("{session_id}", "one")) for method, path, _ in operations(OURS)}

    paths = {path for _, path in found}
    assert found == {(method, path) for path in paths for method in operation_of("", path)[2]}


def test_every_operation_has_its_errors() -> None:
    for _, _, operation in operations(OURS):
        assert {"401", "403", "404", "429", "500", "503"} <= operation["responses"].keys()


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
    fields = {field.name: described(field.type) for field in attrs.fields(attrs.resolve_types(kind))}
    required = required_of(kind)
    return {"type": types("object"), **({"required": required} if required else {}), "properties": fields}


def required_of(kind: type[attrs.AttrsInstance]) -> list[str]:
    return [field.name for field in attrs.fields(kind) if field.default is attrs.NOTHING]


def bare(schema: Any) -> Any:
    """Return *schema* without descriptions and formats."""
    if isinstance(schema, dict):
        return {key: bare(value) for key, value in schema.items() if key not in ("description", "format")}
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


# -- the provider's own file -------------------------------------------------------------------------------------------


@published
def test_it_has_the_operations_of_the_provider_and_their_names() -> None:
    assert {(method, path, operation["operationId"]) for method, path, operation in operations(OURS)} == {
        (method, path, operation["operationId"]) for method, path, operation in operations(theirs())
    }


@published
def test_it_has_every_answer_of_the_provider_that_the_simulator_gives() -> None:
    never = {("POST", "/hpp/v1/sessions/{session_id}/distribution", "201")}  # the simulator answers 204 instead
    gateways = {"429", "500", "502", "503", "504"}  # which the provider's file leaves out
    ours = {(method, path, code) for method, path, found in operations(OURS) for code in found["responses"]}
    published = {(method, path, code) for method, path, found in operations(theirs()) for code in found["responses"]}

    assert ours >= published - never
    assert {entry for entry in ours - published if entry[2] not in gateways} == set()


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
    provider = Provider(now=lambda: datetime.now(UTC), quota=None, consumer=Script())
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
