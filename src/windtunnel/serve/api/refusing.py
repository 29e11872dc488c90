"""Whatever goes wrong with a request, told as the OpenAI API tells it: a middleware for every endpoint."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from windtunnel.serve.api.refusal import RefusedError

LOG = logging.getLogger("windtunnel.serve")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def refusals(counted: Callable[[int], None]) -> Middleware:
    """Turns what handlers raise into answers; a bug's traceback goes to the log and not to the client.

    counted: called with the status of each refusal.
    """

    @web.middleware
    async def told(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except (ConnectionError, web.HTTPSuccessful, web.HTTPRedirection):
            raise
        except Exception as error:
            refusal = of_exception(request, error)
            counted(refusal.status)
            return response_of(refusal)

    return told


def of_exception(request: web.Request, error: Exception) -> RefusedError:
    """What a client is told of an exception; one that nobody expected goes to the log."""
    if isinstance(error, RefusedError):
        return error
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        most = request.client_max_size
        return RefusedError(f"the body is larger than {most / 1024**2:g} MiB", status=413, code="request_too_large")
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return RefusedError(f"{request.method} {request.path[:200]} is not served; use {allowed}", status=405, allow=allowed)
    if isinstance(error, web.HTTPNotFound):
        known = sorted({r.canonical for r in request.app.router.resources() if "{" not in r.canonical})
        return RefusedError(f"{request.path[:200]} is not served; there are {', '.join(known)}", status=404)
    if isinstance(error, web.HTTPException):
        return RefusedError(error.reason, status=error.status)
    LOG.error("%s %s", request.method, request.path, exc_info=error)
    return RefusedError("an error of the server's own; its log says more", status=500, kind="server_error")


def response_of(refusal: RefusedError) -> web.Response:
    """The answer that tells of a refusal."""
    response = web.json_response(refusal.body(), status=refusal.status, headers=refusal.headers())
    if refusal.status in (408, 413):
        response.force_close()  # the rest of the body is not worth reading
    return response


def error_event(refusal: RefusedError) -> bytes:
    """The event of a stream whose status was sent already."""
    return f"data: {json.dumps(refusal.body())}\n\n".encode()
