from __future__ import annotations

import base64
import re
import ssl
import tempfile
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlencode

import httpx
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    model_validator,
)

from flow_engine import tracing
from flow_engine.nodes.connections import MAY_HOLD_SECRETS, Secret
from flow_engine.nodes.contract import Completed, Effect, NodeConfig, NodeContext, NodeError, NodeType
from flow_engine.nodes.fields import MISSING, FieldPath, field_of
from flow_engine.nodes.http_body import is_json, is_text, text_of
from flow_engine.nodes.http_exchange import EXCHANGE_ERRORS, MAX_REDIRECTS, Answer, exchange, origin, refused
from flow_engine.nodes.http_url import fetchable
from flow_engine.nodes.untrusted_json import InvalidJson, parse_json
from flow_engine.payload import JsonValue, encode

UNSAFE_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
MAX_RESPONSE_BYTES = 8 << 20
Scalar = str | StrictBool | StrictInt | StrictFloat


def _header_safe(headers: dict[str, Scalar]) -> dict[str, Scalar]:
    for name, value in headers.items():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise ValueError(f"{name!r} is no header name")
        if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", _as_text(value)):
            raise ValueError(f"the value of header {name} holds a control character")
    return headers


class BasicAuth(NodeConfig):
    type: Literal["basic"]
    username: str = Field(description="User name.")
    password: str = Field(description="Password.", json_schema_extra={"x-secret": True})


class BearerAuth(NodeConfig):
    type: Literal["bearer"]
    token: str = Field(
        min_length=1, description="Sent as `Authorization: Bearer …`.", json_schema_extra={"x-secret": True}
    )


class ApiKeyAuth(NodeConfig):
    type: Literal["apiKey"]
    name: str = Field(default="X-API-Key", min_length=1, description="Name of the header or query parameter.")
    value: str = Field(description="The key.", json_schema_extra={"x-secret": True})
    place: Literal["header", "query"] = Field(default="header", description="Where the key is sent.")


def _pem(text: str) -> str:
    if "-----BEGIN " not in text:
        raise ValueError("must be PEM text: -----BEGIN …")
    return text


Pem = Annotated[str, AfterValidator(_pem)]


class TlsOptions(NodeConfig):
    authorities: Pem | None = Field(
        default=None, description="Certificates (PEM) to trust instead of the usual authorities."
    )
    certificate: Pem | None = Field(
        default=None,
        description="Certificate (PEM) to show, with those between it and the root.",
    )
    key: Annotated[Secret, AfterValidator(_pem)] | None = Field(
        default=None, description="The key (PEM) of that certificate."
    )
    key_password: Secret | None = Field(default=None, description="What the key is encrypted with.")

    @model_validator(mode="after")
    def _certificate_goes_with_its_key(self) -> TlsOptions:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("`certificate` and `key` go together")
        return self


class Pages(NodeConfig):
    items: FieldPath | None = Field(
        default=None, description="The field of a page that holds its items; absent: the page is the list."
    )
    max_pages: int = Field(default=100, ge=1, le=10_000, description="After so many pages it stops.")


class LinkPages(Pages):
    type: Literal["link"] = Field(description="The header `Link` names the next page (RFC 8288).")


class CursorPages(Pages):
    type: Literal["cursor"] = Field(description="A field of the page is the key to the next one.")
    field: FieldPath = Field(description="The field; on the last page it is null, empty or not there.")
    parameter: str = Field(default="cursor", min_length=1, description="The query parameter it goes into.")


class NumberedPages(Pages):
    type: Literal["number"] = Field(description="Pages have numbers, and the first empty one ends them.")
    parameter: str = Field(default="page", min_length=1, description="The query parameter of the number.")
    start: int = Field(default=1, ge=0, description="The number of the first page.")


Pagination = LinkPages | CursorPages | NumberedPages


class HttpRequestConfig(NodeConfig):
    method: Annotated[
        Literal["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"],
        BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value),
    ] = Field(default="GET", description="HTTP method.")
    url: Annotated[str, AfterValidator(fetchable)] = Field(
        min_length=1, max_length=8192, description="Where to send it: an http or https URL."
    )
    headers: Annotated[dict[str, Scalar], AfterValidator(_header_safe)] = Field(
        default_factory=dict, description="Headers to send.", json_schema_extra=MAY_HOLD_SECRETS
    )
    query: dict[str, Scalar | list[Scalar] | None] = Field(
        default_factory=dict,
        description="Parameters added to the URL's query. A list repeats its name; null leaves the name out.",
        json_schema_extra=MAY_HOLD_SECRETS,
    )
    auth: Annotated[BasicAuth | BearerAuth | ApiKeyAuth, Field(discriminator="type")] | None = Field(
        default=None, description="Credentials. They are not sent on to another origin by a redirect."
    )
    body: Any = Field(
        default=None, description="What to send; see `bodyType`.", json_schema_extra=MAY_HOLD_SECRETS
    )
    body_type: Literal["auto", "json", "form", "multipart", "text", "base64"] = Field(
        default="auto",
        description="`auto`: a string as text, null as no body, anything else as JSON. "
        "`form`: an object of fields, URL-encoded. `multipart`: an object of fields, where an object "
        '`{"filename", "contentType", "text" or "base64"}` is a file. `base64`: a string of bytes.',
    )
    response_type: Literal["auto", "json", "text", "base64"] = Field(
        default="auto",
        description="What the output's `body` is: as the answer's Content-Type says, or always one of these.",
    )
    timeout_ms: int = Field(
        default=30_000, ge=1, le=3_600_000, description="For the whole request with its redirects."
    )
    connect_timeout_ms: int = Field(
        default=10_000, ge=1, le=600_000, description="For opening the connection."
    )
    max_response_bytes: int = Field(
        default=1 << 20,
        ge=0,
        le=MAX_RESPONSE_BYTES,
        description="A longer answer, after decompression, fails.",
    )
    tls: TlsOptions | None = Field(
        default=None,
        description="Certificates for https; absent: the usual authorities, none shown. Such a request "
        "has a connection of its own.",
    )
    follow_redirects: bool = Field(default=True, description=f"Follow up to {MAX_REDIRECTS} redirects.")
    pagination: Annotated[Pagination, Field(discriminator="type")] | None = Field(
        default=None, description="How to get at the pages behind the first; absent: there is one only."
    )
    fail_on_status: bool = Field(default=True, description="Whether a status of 400 or more fails the step.")
    retry_on_status: list[Annotated[int, Field(ge=400, le=599)]] | None = Field(
        default=None,
        max_length=200,
        description="The statuses after which another attempt may succeed; by default 408, 425, 429 and all "
        "from 500. How often is for `retry` of the node to say.",
    )

    @model_validator(mode="after")
    def _body_fits_its_type(self) -> HttpRequestConfig:
        if self.body_type in ("form", "multipart") and not isinstance(self.body, dict):
            raise ValueError(f"a body of type {self.body_type} must be an object")
        if self.body_type in ("text", "base64") and not isinstance(self.body, str):
            raise ValueError(f"a body of type {self.body_type} must be a string")
        return self


class HttpRequest(NodeType[HttpRequestConfig]):
    """Sends an HTTP request.

    The output is `{"status": 200, "headers": {…}, "body": …}`: header names in lower case, repeated ones
    joined by a comma; `body` parsed if it is JSON (numbers keep their value), a string if it is text, base64
    otherwise, null if it is empty. Bytes are sent by `bodyType: base64`; above 4 KiB a history holds them by
    their hash, as any value. A status of 400 or more fails the step unless `failOnStatus` is off; the
    failure's `details` hold the status and the beginning of the body.

    Requests that change something carry an `Idempotency-Key` that is the same for every attempt of the step,
    unless the headers name one. A `Retry-After` of the other side is honoured before the next attempt.

    With `pagination` the pages are fetched one after another and `body` is the list of the items of all;
    `pages` tells how many there were, `complete` whether that was all. `timeoutMs` holds for each page,
    `maxResponseBytes` for all together.
    """

    type = "http.request"
    title = "HTTP request"
    config_model = HttpRequestConfig
    example: ClassVar[dict[str, Any]] = {
        "method": "POST",
        "url": "https://shop.example/orders",
        "query": {"notify": True},
        "body": {"article": 7, "count": 2},
    }
    effect = Effect.EXTERNAL
    error_codes: ClassVar[Mapping[str, str]] = {
        **EXCHANGE_ERRORS,
        "HTTP_BODY": "The answer's body is not what `responseType` or its own Content-Type says.",
        "CONFIG_INVALID": "The request cannot be sent as it is described.",
    }

    def output_schema(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        return {
            "type": "object",
            "properties": {
                "status": {"type": "integer"},
                "headers": {"type": "object"},
                "body": {},
                "pages": {"type": "integer"},
                "complete": {"type": "boolean"},
            },
            "additionalProperties": False,
        }

    def typical_ms(self, config: Mapping[str, Any]) -> float:
        return 500.0

    async def run(self, context: NodeContext, config: HttpRequestConfig) -> Completed:
        if config.tls is None:
            return await _run(context.services.http, context, config)
        async with context.services.http_with(_ssl_context(config.tls)) as client:
            return await _run(client, context, config)


async def _run(client: httpx.AsyncClient, context: NodeContext, config: HttpRequestConfig) -> Completed:
    request = _request(client, config, context.step_key)
    if config.pagination is not None:
        return await _all_pages(client, request, config, config.pagination)
    return _outcome(await _sent(client, request, config, config.max_response_bytes), config)


def _ssl_context(options: TlsOptions) -> ssl.SSLContext:
    """Raises NodeError CONFIG_INVALID."""
    try:
        context = ssl.create_default_context(cadata=options.authorities)
        if options.certificate is not None and options.key is not None:
            _show(context, options.certificate, options.key, options.key_password)
    except (ssl.SSLError, ValueError, OSError) as error:
        reason = (getattr(error, "reason", None) or "wrong certificate, key or password").lower()
        raise NodeError("CONFIG_INVALID", f"tls: {reason.replace('_', ' ')}") from error
    return context


def _show(context: ssl.SSLContext, certificate: str, key: str, password: str | None) -> None:
    """OpenSSL takes them from a file only; it is readable by us alone, and gone at once."""
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(f"{key}\n{certificate}\n")
        file.flush()
        context.load_cert_chain(file.name, password=password or "")


async def _sent(
    client: httpx.AsyncClient, request: httpx.Request, config: HttpRequestConfig, max_bytes: int
) -> Answer:
    return await exchange(
        client,
        request,
        timeout_ms=config.timeout_ms,
        max_bytes=max_bytes,
        follow_redirects=config.follow_redirects,
    )


# Pages


async def _all_pages(
    client: httpx.AsyncClient, request: httpx.Request, config: HttpRequestConfig, pagination: Pagination
) -> Completed:
    items: list[JsonValue] = []
    left, pages = config.max_response_bytes, 0
    following: httpx.URL | None = _first_page(request.url, pagination)
    output: dict[str, JsonValue] = {}
    while following is not None and pages < pagination.max_pages:
        request = client.build_request(
            request.method,
            following,
            headers=request.headers,
            content=request.content,
            extensions=request.extensions,
        )
        answer = await _sent(client, request, config, left)
        left -= len(answer.body)
        output = _outcome(answer, config).output
        if output["status"] >= 400:
            return Completed({**output, "pages": pages, "complete": False})
        page = _items(output["body"], pagination.items)
        items += page
        pages += 1
        following = _next_page(request.url, answer.response, output["body"], page, pagination, pages)
    return Completed({**output, "body": items, "pages": pages, "complete": following is None})


def _first_page(url: httpx.URL, pagination: Pagination) -> httpx.URL:
    if isinstance(pagination, NumberedPages):
        return url.copy_set_param(pagination.parameter, pagination.start)
    return url


def _items(body: JsonValue, path: str | None) -> list[JsonValue]:
    items = body if path is None else field_of(body, path)
    if isinstance(items, list):
        return items
    raise NodeError("HTTP_BODY", "a page holds no list of items" + (f" in {path!r}" if path else ""))


def _next_page(
    url: httpx.URL,
    response: httpx.Response,
    body: JsonValue,
    page: list[JsonValue],
    pagination: Pagination,
    pages: int,
) -> httpx.URL | None:
    """Where the page after the one at `url` is; None if this is the last. Raises NodeError HTTP_REDIRECT."""
    match pagination:
        case LinkPages():
            link = response.links.get("next", {}).get("url", "")
            if not link:
                return None
            following = response.request.url.join(link)
            if origin(following) != origin(url):  # the credentials of this one would go along
                raise NodeError("HTTP_REDIRECT", "the next page is at another origin")
            return following
        case CursorPages(field=field, parameter=parameter):
            cursor = field_of(body, field)
            return None if cursor in (MISSING, None, "") else url.copy_set_param(parameter, _as_text(cursor))
        case NumberedPages(parameter=parameter, start=start):
            return url.copy_set_param(parameter, start + pages) if page else None


# The request


def _request(client: httpx.AsyncClient, config: HttpRequestConfig, step_key: str) -> httpx.Request:
    try:
        return _built(client, config, step_key)
    except UnicodeError as error:
        raise NodeError(
            "CONFIG_INVALID", "a header or the URL holds characters that HTTP cannot carry"
        ) from error


def _built(client: httpx.AsyncClient, config: HttpRequestConfig, step_key: str) -> httpx.Request:
    headers = httpx.Headers(tracing.headers())
    content, content_type = _content(config)
    if content_type:
        headers["Content-Type"] = content_type
    if config.method in UNSAFE_METHODS:
        headers["Idempotency-Key"] = step_key
    query: list[tuple[str, str | int | float | bool | None]] = [
        (name, _as_text(value)) for name, value in _pairs(config.query)
    ]
    match config.auth:
        case BasicAuth(username=username, password=password):
            credentials = base64.b64encode(f"{username}:{password}".encode()).decode()
            headers["Authorization"] = f"Basic {credentials}"
        case BearerAuth(token=token):
            headers["Authorization"] = f"Bearer {token}"
        case ApiKeyAuth(name=name, value=value, place="header"):
            headers[name] = value
        case ApiKeyAuth(name=name, value=value):
            query.append((name, value))
    headers.update({name: _as_text(value) for name, value in config.headers.items()})
    headers["Accept-Encoding"] = "gzip"  # what BoundedDecoder undoes
    timeout = httpx.Timeout(None, connect=config.connect_timeout_ms / 1000)
    url = httpx.URL(config.url)
    if query:
        url = url.copy_merge_params(query)
    return client.build_request(config.method, url, headers=headers, content=content, timeout=timeout)


def _content(config: HttpRequestConfig) -> tuple[bytes | None, str]:
    """Body and Content-Type; None and "" without a body."""
    body = config.body
    match config.body_type:
        case "auto" if body is None:
            return None, ""
        case "auto" | "text" if isinstance(body, str):
            return body.encode(), "text/plain; charset=utf-8"
        case "base64":
            return _from_base64(body), "application/octet-stream"
        case "multipart":
            return _multipart(body)
        case "form":
            fields = [(name, _as_text(value)) for name, value in _pairs(body)]
            return urlencode(fields).encode(), "application/x-www-form-urlencoded"
        case _:
            return encode(body), "application/json"


def _multipart(fields: Mapping[str, JsonValue]) -> tuple[bytes, str]:
    """RFC 7578, encoded by the library."""
    files = [
        (name, _file(value) if isinstance(value, dict) else (None, _as_text(value).encode()))
        for name, value in _pairs(fields)
    ]
    encoded = httpx.Request("POST", "http://localhost", files=files)
    return encoded.read(), encoded.headers["Content-Type"]


def _file(described: Mapping[str, JsonValue]) -> tuple[str, bytes, str]:
    match described:
        case {"filename": str(name), "text": str(text), **rest}:
            content = text.encode()
        case {"filename": str(name), "base64": str(text), **rest}:
            content = _from_base64(text)
        case _:
            raise NodeError("CONFIG_INVALID", "a file needs `filename`, and `text` or `base64`")
    kind = rest.pop("contentType", "application/octet-stream")
    if rest or not (isinstance(kind, str) and re.fullmatch(r"[\w.+-]+/[\w.+-]+(; *[\w-]+=[\w.-]+)?", kind)):
        raise NodeError("CONFIG_INVALID", f"the description of the file {name!r} is wrong")
    return name, content, kind


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise NodeError("CONFIG_INVALID", "the body is no base64") from error


def _pairs(fields: Mapping[str, JsonValue]) -> list[tuple[str, JsonValue]]:
    """Name and value of each field; lists spread, nulls left out."""
    spread = [
        (name, item)
        for name, value in fields.items()
        for item in (value if isinstance(value, list) else [value])
    ]
    return [(name, value) for name, value in spread if value is not None]


def _as_text(value: JsonValue) -> str:
    return value if isinstance(value, str) else encode(value).decode()


# The answer


def _outcome(answer: Answer, config: HttpRequestConfig) -> Completed:
    response, body = answer
    if response.status_code >= 400 and config.fail_on_status:
        raise refused(response, body, config.retry_on_status)
    headers = {name.lower(): value for name, value in response.headers.items()}
    value = _body_value(body, response.headers.get("content-type", ""), config.response_type)
    return Completed({"status": response.status_code, "headers": headers, "body": value})


def _body_value(body: bytes, content_type: str, wanted: str) -> JsonValue:
    if not body:
        return None
    if wanted == "json" or (wanted == "auto" and is_json(content_type)):
        try:
            return parse_json(body)
        except InvalidJson as error:
            raise NodeError(
                "HTTP_BODY", f"the answer's body is no JSON: {error}", contentType=content_type
            ) from error
    if wanted == "text" or (wanted == "auto" and is_text(content_type)):
        return text_of(body, content_type)
    return base64.b64encode(body).decode()
