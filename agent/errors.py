"""What the daemon raises on purpose: a branch of the tree in fbclip/errors.py.

AgentError
├── SourceError   a camera, video or folder that cannot be used
├── StoreError    the database cannot be used
├── ClaimLost     another agent has taken a file over
└── MqttError     the broker cannot be used

What agent.yaml names wrongly is a ConfigError; its text is file:line: field: problem.
"""

from fbclip.errors import InspectError


class AgentError(InspectError):
    """Base of the daemon's errors."""


class SourceError(AgentError):
    """A source of frames cannot be used."""


class StoreError(AgentError):
    """The database cannot be used."""


class ClaimLost(AgentError):
    """A file that this run had is another's by now, because its claim was not renewed in time."""


class MqttError(AgentError):
    """The broker cannot be used."""
