"""``/paper/faults``: POST adds a fault, GET lists them, DELETE clears them (or one). From this machine only."""

from __future__ import annotations

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from exchange.paper.fault_rules import FaultSpec
from exchange.paper.faults import Faults
from exchange.paper.loopback import loopback_only


def fault_routes(faults: Faults) -> list[Route]:
    """Malformed faults are answered 400 with ``error``, one sentence that names the field."""

    async def add(request: Request) -> Response:
        try:
            spec = FaultSpec.model_validate_json(await request.body())
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            message = first["msg"].removeprefix("Value error, ")
            return JSONResponse({"error": f"{where}: {message}" if where else message}, status_code=400)
        return JSONResponse(faults.add(spec).row())

    async def show(request: Request) -> Response:
        return JSONResponse({"faults": faults.rows()})

    async def clear(request: Request) -> Response:
        ended = faults.clear()
        return JSONResponse({"faults": [], "ended": ended})

    async def clear_one(request: Request) -> Response:
        number = request.path_params["number"]
        if not faults.clear(number):
            return JSONResponse({"error": f"there is no fault {number}: GET /paper/faults lists them"}, status_code=404)
        return JSONResponse({"faults": faults.rows(), "ended": 1})

    return [
        Route("/paper/faults", loopback_only(add), methods=["POST"]),
        Route("/paper/faults", loopback_only(show), methods=["GET"]),
        Route("/paper/faults", loopback_only(clear), methods=["DELETE"]),
        Route("/paper/faults/{number:int}", loopback_only(clear_one), methods=["DELETE"]),
    ]
