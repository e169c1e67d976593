"""The local stack: PostgreSQL, Temporal, the paper exchange, workers, API and UI as supervised children."""

from workers.stack.environment import spare_settings
from workers.stack.lock import AlreadyRunning
from workers.stack.ports import PortTaken
from workers.stack.stack import Stack
from workers.stack.status import StackStatus, State
from workers.stack.supervisor import StackFailed

__all__ = ["AlreadyRunning", "PortTaken", "Stack", "StackFailed", "StackStatus", "State", "spare_settings"]
