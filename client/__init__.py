"""The typed HTTP client of the API."""

from client.api import AtsClient, new_key
from client.connection import Connection, find_connection
from client.problems import ApiError, ApiProblem, ApiUnreachable, CredentialsMissing

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
