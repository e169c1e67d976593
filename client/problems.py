"""What a call to the API can fail with: the API's own refusal, or no API to talk to."""

from __future__ import annotations

import httpx
from pydantic import ValidationError

from domain.views import FieldFault, Problem


class ApiError(Exception):
    """Base of both. ``str()`` is one sentence to show to a person."""


class ApiUnreachable(ApiError):
    """No answer that came from the API: not running, wrong address, or cut off."""


class CredentialsMissing(ApiError):
    """No key to send was found."""


class ApiProblem(ApiError):
    """The API answered with an error (RFC 9457). ``problem`` is the whole of it."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(_sentence(problem))
        self.problem = problem

    @property
    def type(self) -> str:
        return self.problem.type

    @property
    def code(self) -> str:
        """Last part of the type, such as ``unknown-symbol``."""
        return self.problem.type.rsplit("/", 1)[-1]

    @property
    def status(self) -> int:
        return self.problem.status

    @property
    def title(self) -> str:
        return self.problem.title

    @property
    def detail(self) -> str:
        return self.problem.detail

    @property
    def fields(self) -> list[FieldFault]:
        return self.problem.fields


def problem_of(response: httpx.Response) -> ApiError:
    """The error a response with a status of 400 or more stands for."""
    try:
        return ApiProblem(Problem.model_validate_json(response.content))
    except ValidationError:
        return ApiUnreachable(
            f"{response.url.host}:{response.url.port} answered HTTP {response.status_code} without a problem document; "
            "is another program listening there? Check ATS_API__URL"
        )


def _sentence(problem: Problem) -> str:
    """The detail, with the fields it does not name itself."""
    named = [f"{fault.field}: {fault.rule}" for fault in problem.fields]
    if all(text in problem.detail for text in named):
        return problem.detail
    if all(fault.rule in problem.detail for fault in problem.fields):
        return f"{', '.join(fault.field for fault in problem.fields)}: {problem.detail}"
    return f"{problem.detail.rstrip('.')} ({'; '.join(named)})"
