"""Everything that the daemon raises on purpose.

AgentError
├── ConfigError   agent.yaml names something that cannot be; text is file:line: field: problem
├── SourceError   a camera, video or folder that cannot be used
├── StoreError    the database cannot be used
└── MqttError     the broker cannot be used
"""


class AgentError(Exception):
    """Base of all errors of this package; its text is one line for the user and holds no secret."""


class ConfigError(AgentError):
    """The configuration is wrong."""


class SourceError(AgentError):
    """A source of frames cannot be used."""


class StoreError(AgentError):
    """The database cannot be used."""


class MqttError(AgentError):
    """The broker cannot be used."""
