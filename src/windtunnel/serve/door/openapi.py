"""What an endpoint promises, as OpenAPI 3.1: its paths, what they take, and the limits that are kept.

Two fronts are described. One makes the answers itself and knows every field that it reads. The other, before a fleet, reads as
much as it needs to choose a back end, and passes the rest on: what it does not promise, the engine behind it decides.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from windtunnel import __version__
from windtunnel.serve.api.asked import MOST_ANSWERS, MOST_CHOICES, MOST_ID, MOST_NAME, MOST_STOPS, MOST_TOKENS

Schema = dict[str, Any]

JSON = "application/json"
EVENTS = "text/event-stream"


def description(paths: Collection[str], *, forwards: bool, keys: bool, open_pages: bool, most_body_bytes: int) -> Schema:
    """Of an endpoint that serves the paths. forwards: to engines, to which it leaves what it does not read itself.

    open_pages: what it shows of itself needs no key.
    """
    told: Schema = {
        "openapi": "3.1.0",
        "info": {
            "title": "windtunnel",
            "version": __version__,
            "description": f"The OpenAI API. A body has at most {most_body_bytes:,} bytes.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {path: item for path, item in _paths(forwards).items() if path in paths},
        "components": {"schemas": _schemas(forwards), "responses": _refusals(), "headers": _HEADERS},
    }
    if keys:
        told["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        told["security"] = [{"key": []}]
        for path in ("/health", *(PAGES if open_pages else ())):
            if path in told["paths"]:
                told["paths"][path]["get"]["security"] = []
    return told


def _ref(name: str, kind: str = "schemas") -> Schema:
    return {"$ref": f"#/components/{kind}/{name}"}


def _or_null(*schemas: Schema) -> Schema:
    return {"anyOf": [*schemas, {"type": "null"}]}


def _array(items: Schema, **bounds: int) -> Schema:
    return {"type": "array", "items": items, **bounds}


def _object(required: Collection[str] = (), **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}


_TEXT: Schema = {"type": "string"}
_FLAG: Schema = {"type": "boolean"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_ANY: Schema = {}

PAGES = ("/metrics", "/openapi.json", "/fleet/status")
STATUSES = {
    "400": "A field is missing or malformed; 'param' names it.",
    "401": "The key is missing or not known.",
    "403": "The page or the name by which the endpoint was asked is not let in, or the key may not do this.",
    "404": "The model, the path or the back end is not there.",
    "405": "The path takes another method.",
    "408": "The body did not come in time.",
    "413": "The body is too large.",
    "429": "The key's limit is reached, or the queue is full.",
    "500": "An error of the server's own.",
    "502": "The engine behind failed.",
    "503": "Nobody can take the request now.",
    "504": "The engine behind took too long.",
}

_HEADERS: Schema = {
    "request-id": {"description": "Names the request in the accounts.", "schema": _TEXT},
    "retry-after": {"description": "Seconds.", "schema": _TEXT},
}


def _refusals() -> Schema:
    return {
        f"refused-{status}": {
            "description": told,
            "headers": {
                "x-request-id": _ref("request-id", "headers"),
                **({"Retry-After": _ref("retry-after", "headers")} if status in ("429", "503") else {}),
            },
            "content": {JSON: {"schema": _ref("Error")}},
        }
        for status, told in STATUSES.items()
    }


def _answers(content: Schema, *, told: str, refused: Collection[str]) -> Schema:
    good = {"description": told, "headers": {"x-request-id": _ref("request-id", "headers")}, "content": content}
    return {"200": good, **{status: _ref(f"refused-{status}", "responses") for status in refused}}


def _get(told: str, content: Schema, refused: Collection[str] = (), parameters: list[Schema] | None = None) -> Schema:
    item: Schema = {"summary": told, "responses": _answers(content, told=told, refused=("401", "403", "405", "500", *refused))}
    return {"get": {**item, **({"parameters": parameters} if parameters else {})}}


def _post(told: str, asked: str, answered: str, *, streams: bool, forwards: bool) -> Schema:
    content: Schema = {JSON: {"schema": _ref(answered)}}
    if streams:
        content[EVENTS] = {"schema": _object(("data",), data={"type": "string", "description": "JSON, or [DONE] at the end."})}
    refused = [status for status in STATUSES if forwards or status not in ("502", "504")]
    return {
        "post": {
            "summary": told,
            "requestBody": {"required": True, "content": {JSON: {"schema": _ref(asked)}}},
            "responses": _answers(content, told="The answer; as events where 'stream' is true.", refused=refused),
        }
    }


def _in_path(name: str, told: str) -> list[Schema]:
    return [{"name": name, "in": "path", "required": True, "description": told, "schema": {"type": "string", "minLength": 1}}]


def _paths(forwards: bool) -> Schema:
    text = {"text/plain": {"schema": _TEXT}}
    turned = {
        "parameters": [
            *_in_path("name", "A back end of the fleet."),
            {"name": "verb", "in": "path", "required": True, "schema": {"enum": ["drain", "resume"]}},
        ],
        "responses": _answers(
            {JSON: {"schema": {"type": "object"}}}, told="Its state.", refused=("401", "403", "404", "405", "500")
        ),
    }
    return {
        "/v1/models": _get("The models that are served.", {JSON: {"schema": _ref("Models")}}),
        "/v1/models/{id}": _get("One model.", {JSON: {"schema": _ref("Model")}}, ("404",), _in_path("id", "Its name.")),
        "/v1/chat/completions": _post("Answers a chat.", "AskedChat", "Chat", streams=True, forwards=forwards),
        "/v1/completions": _post("Goes on with a text.", "AskedCompletion", "Completion", streams=True, forwards=forwards),
        "/v1/embeddings": _post("Turns texts into vectors.", "AskedEmbeddings", "Embeddings", streams=False, forwards=forwards),
        "/health": _get("Whether requests can be answered.", {JSON: {"schema": _ref("Health")}}, ("503",)),
        "/metrics": _get("Counters and times, for Prometheus.", text),
        "/openapi.json": _get("This.", {JSON: {"schema": {"type": "object"}}}),
        "/fleet/status": _get("The fleet and each of its back ends.", {JSON: {"schema": {"type": "object"}}}),
        "/fleet/backends/{name}/{verb}": {"post": {"summary": "Sends a back end nothing new, or requests again.", **turned}},
    }


def _schemas(forwards: bool) -> Schema:
    usage = _object(
        ("prompt_tokens", "completion_tokens", "total_tokens"),
        prompt_tokens=_COUNT,
        completion_tokens=_COUNT,
        total_tokens=_COUNT,
    )
    head: Schema = {"id": _TEXT, "created": {"type": "integer"}, "model": _TEXT, "usage": _ref("Usage")}
    finish = _or_null(_TEXT)
    message = _object(("role",), role={"const": "assistant"}, content=_or_null(_TEXT))
    chat = _object(("index", "message", "finish_reason"), index=_COUNT, message=message, finish_reason=finish)
    text = _object(("index", "text", "finish_reason"), index=_COUNT, text=_TEXT, finish_reason=finish)
    model = _object(("id", "object"), id=_TEXT, object={"const": "model"}, created={"type": "integer"}, owned_by=_TEXT)
    error = _object(("message", "type"), message=_TEXT, type=_TEXT, param=_or_null(_TEXT), code=_or_null(_TEXT))
    return {
        "Error": _object(("error",), error=error),
        "Health": _object(("status",), status=_TEXT),
        "Model": model,
        "Models": _object(("object", "data"), object={"const": "list"}, data=_array(_ref("Model"))),
        "Usage": usage,
        "Chat": _object((*head, "choices"), **head, object={"const": "chat.completion"}, choices=_array(chat, minItems=1)),
        "Completion": _object((*head, "choices"), **head, object={"const": "text_completion"}, choices=_array(text, minItems=1)),
        "Embeddings": {"type": "object"},
        **(_asked_to_forward() if forwards else _asked()),
    }


_NAME: Schema = {"type": "string", "minLength": 1}
_STREAM_OPTIONS: Schema = {
    "anyOf": [
        {"properties": {"stream": {"const": True}}, "required": ["stream"]},
        {"properties": {"stream_options": {"type": ["object", "null"], "maxProperties": 0}}},
    ]
}
"""Options of a stream are for those who ask for one."""
_MODEL: Schema = {**_NAME, "maxLength": MOST_NAME}


def _asked() -> Schema:
    """What the front takes that makes its own answers."""
    most: Schema = {"type": ["integer", "null"], "minimum": 1, "maximum": MOST_TOKENS}
    ids = _array({"type": "integer", "minimum": 0, "maximum": MOST_ID}, minItems=1)
    shared: Schema = {
        "model": _MODEL,
        "max_tokens": most,
        "min_tokens": {
            "type": ["integer", "null"],
            "minimum": 0,
            "maximum": MOST_TOKENS,
            "description": "Not above the most tokens that are asked for.",
        },
        "n": {
            "type": ["integer", "null"],
            "minimum": 1,
            "maximum": MOST_CHOICES,
            "description": f"Answers to each prompt; at most {MOST_ANSWERS} in all.",
        },
        "stop": _or_null(_TEXT, _array(_TEXT, maxItems=MOST_STOPS)),
        "stream": {"type": ["boolean", "null"]},
        "stream_options": {
            "type": ["object", "null"],
            "properties": {"include_usage": {"type": ["boolean", "null"]}},
            "description": "For requests with 'stream': true.",
        },
        "ignore_eos": {"type": ["boolean", "null"]},
    }
    part = _object(("type", "text"), type={"const": "text"}, text=_TEXT)
    message = {
        "type": "object",
        "properties": {"role": _NAME},
        "required": ["role"],
        "anyOf": [
            _object(("content",), content={"anyOf": [_TEXT, _array(part)]}),
            _object(("tool_calls",), content={"type": "null"}, tool_calls=_array({"type": "object"}, minItems=1)),
        ],
    }
    prompt = {
        "anyOf": [_TEXT, _array(_TEXT, minItems=1, maxItems=MOST_ANSWERS), ids, _array(ids, minItems=1, maxItems=MOST_ANSWERS)]
    }
    chat = {**shared, "messages": _array(message, minItems=1), "max_completion_tokens": most}
    completion = {**shared, "prompt": prompt, "echo": {"type": ["boolean", "null"]}}
    return {
        "AskedChat": {**_object(("model", "messages"), **chat), **_STREAM_OPTIONS},
        "AskedCompletion": {**_object(("model", "prompt"), **completion), **_STREAM_OPTIONS},
    }


def _asked_to_forward() -> Schema:
    """What the front before a fleet reads; the engines judge the rest."""
    shared: Schema = {
        "model": _MODEL,
        "stream": {"type": ["boolean", "null"]},
        "stream_options": {"type": ["object", "null"], "description": "For requests with 'stream': true."},
    }
    return {
        "AskedChat": {
            **_object(("model", "messages"), **shared, messages=_array({"type": "object"}, minItems=1)),
            **_STREAM_OPTIONS,
        },
        "AskedCompletion": {
            **_object(("model", "prompt"), **shared, prompt={"anyOf": [_TEXT, _array(_ANY, minItems=1, maxItems=MOST_ANSWERS)]}),
            **_STREAM_OPTIONS,
        },
        "AskedEmbeddings": _object(("model", "input"), model=_MODEL, input={"anyOf": [_NAME, _array(_ANY, minItems=1)]}),
    }
