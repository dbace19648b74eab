"""Whom to connect to, and as whom: the configuration with its secrets and TLS files read."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field

from agent.config.services import MqttSection
from agent.errors import MqttError


@dataclass(frozen=True, eq=False)
class Target:
    """`where` is for people and holds no secret. `will` is the retained last will on `will_topic`."""

    host: str
    port: int
    client_id: str
    will_topic: str
    will: bytes
    username: str | None
    password: str | None = field(repr=False)
    tls: ssl.SSLContext | None

    @property
    def where(self) -> str:
        return f"{self.host}:{self.port}"


def target(config: MqttSection, client_id: str, will_topic: str, will: bytes) -> Target:
    """Raises MqttError if the password's variable is not set or TLS files cannot be read."""
    tls = _tls(config) if config.secure else None
    return Target(config.host, config.port, client_id, will_topic, will, config.username, _password(config), tls)


def _password(config: MqttSection) -> str | None:
    if config.password_env is None:
        return None
    value = os.environ.get(config.password_env)
    if not value:
        raise MqttError(f"mqtt.password_env: the environment variable {config.password_env} is not set")
    return value


def _tls(config: MqttSection) -> ssl.SSLContext:
    files = config.tls
    try:
        context = ssl.create_default_context(cafile=str(files.ca) if files and files.ca else None)
        if files and files.cert:
            context.load_cert_chain(str(files.cert), str(files.key) if files.key else None)
    except OSError as error:
        raise MqttError(f"mqtt.tls: ca, cert or key cannot be used: {error.strerror or error}") from error
    return context
