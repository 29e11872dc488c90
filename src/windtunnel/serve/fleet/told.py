"""What a fleet tells of itself, and how its back ends are taken out and put back: every route but those that make tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from windtunnel.serve.api.refusal import RefusedError, overloaded, unknown_model

if TYPE_CHECKING:
    from windtunnel.serve.fleet.router import Router


class Told:
    """Of one router."""

    def __init__(self, router: Router) -> None:
        self.router = router

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/models", self.models),
            web.get("/v1/models/{id:.+}", self.model),
            web.get("/health", self.health),
            web.get("/metrics", self.metrics),
            web.get("/fleet/status", self.status),
            web.post("/fleet/backends/{name}/{verb:drain|resume}", self.drain),
        ]

    async def models(self, request: web.Request) -> web.Response:
        """``GET /v1/models``: of all back ends together."""
        return web.json_response({"object": "list", "data": [self._model(*item) for item in self.router.served().items()]})

    async def model(self, request: web.Request) -> web.Response:
        """``GET /v1/models/ID``"""
        wanted, served = request.match_info["id"], self.router.served()
        if wanted not in served:
            raise unknown_model(wanted, served)
        return web.json_response(self._model(wanted, served[wanted]))

    def _model(self, name: str, most_tokens: int | None) -> dict[str, object]:
        created = int(self.router.status.since)
        told: dict[str, object] = {"id": name, "object": "model", "created": created, "owned_by": "windtunnel"}
        return {**told, "max_model_len": most_tokens} if most_tokens else told

    async def health(self, request: web.Request) -> web.Response:
        """``GET /health``: 200 while any back end is up."""
        if self.router.draining:
            raise overloaded("the endpoint is closing", 5.0)
        if not any(endpoint.hopeful() for endpoint in self.router.endpoints.values()):
            raise overloaded("no back end is up", 1.0)
        return web.json_response({"status": "ok"})

    async def metrics(self, request: web.Request) -> web.Response:
        """``GET /metrics``"""
        return web.Response(body=self.router.metrics.page(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def status(self, request: web.Request) -> web.Response:
        """``GET /fleet/status``"""
        return web.json_response(self.router.status.body())

    async def drain(self, request: web.Request) -> web.Response:
        """``POST /fleet/backends/NAME/drain`` and ``.../resume``"""
        name = request.match_info["name"]
        endpoint = self.router.endpoints.get(name)
        if endpoint is None:
            raise RefusedError(f"there is no back end '{name[:80]}'; there are {', '.join(self.router.endpoints)}", status=404)
        endpoint.drain(request.match_info["verb"] == "drain")
        return web.json_response({"name": name, "state": endpoint.state(), "in_flight": endpoint.in_flight})
