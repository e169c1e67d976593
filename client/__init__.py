"""The typed HTTP client of the API."""

from client.api import AtsClient
from client.connection import Connection, find_connection
from client.problems import ApiError, ApiProblem, ApiUnreachable, CredentialsMissing
from client.transport import new_key

__all__ = [
    "ApiError",
    "ApiProblem",
    "ApiUnreachable",
    "AtsClient",
    "Connection",
    "CredentialsMissing",
    "find_connection",
    "new_key",
]
