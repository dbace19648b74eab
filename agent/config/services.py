"""What the agent talks to: the broker, the store and the viewers of its page.

Secrets are never in the file: it names the environment variables that hold them.
"""

from __future__ import annotations

import os
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from agent.config.base import ConfigPath, ListenSection, Section, is_loopback
from fbclip.errors import ConfigError


class TlsSection(Section):
    """Files in PEM; without `ca` the system's roots are trusted."""

    ca: ConfigPath | None = None
    cert: ConfigPath | None = None
    key: ConfigPath | None = None


class BacklogSection(Section):
    """Most results and refreshes that wait for the broker, their bytes, and for how long. Alerts have no limit."""

    rows: Annotated[int, Field(ge=100, le=10_000_000)] = 50_000
    mb: Annotated[float, Field(ge=1, le=65_536)] = 128
    hours: Annotated[float, Field(gt=0, le=87_600)] = 168


class MqttSection(Section):
    """`embedded://HOST:PORT` runs a broker inside the agent; `mqtt://` and `mqtts://` name one outside."""

    url: str = "embedded://127.0.0.1:1883"
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$")] = "fbclip"
    tls: TlsSection | None = None
    username: str | None = None
    password_env: str | None = None
    home_assistant: bool = False
    backlog: BacklogSection = BacklogSection()

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            _ = parts.port
        except ValueError:
            # Its text quotes what it takes for host or port, which may be a password.
            raise ValueError("not an address: the port is a number up to 65535") from None
        if parts.scheme not in {"embedded", "mqtt", "mqtts"} or not parts.hostname:
            raise ValueError("must be embedded://HOST:PORT, mqtt://HOST[:PORT] or mqtts://HOST[:PORT]")
        if parts.username or parts.password:
            raise ValueError("must not hold credentials; use username and password_env")
        if parts.scheme == "embedded" and not is_loopback(parts.hostname):
            raise ValueError("the embedded broker asks for no password and listens on loopback only")
        return value

    @property
    def embedded(self) -> bool:
        return urlsplit(self.url).scheme == "embedded"

    @property
    def secure(self) -> bool:
        return urlsplit(self.url).scheme == "mqtts" or self.tls is not None

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or (8883 if self.secure else 1883)


class RetentionSection(Section):
    """What is pruned first: images of ok frames, then those of others; then rows, anomalies last.

    `days` count while the agent runs (agent/store/age.py); `anomaly_days` may keep what was anomalous or uncertain
    longer. `rows` bounds the inspections, `database_mb` the file.
    """

    days: Annotated[float, Field(gt=0, le=36_500)] = 30
    anomaly_days: Annotated[float | None, Field(gt=0, le=36_500)] = None
    rows: Annotated[int, Field(ge=1000, le=1_000_000_000)] = 5_000_000
    database_mb: Annotated[float, Field(ge=16, le=16_777_216)] = 8192
    pictures_mb: Annotated[float, Field(gt=0, le=16_777_216)] = 2048
    min_free_mb: Annotated[float, Field(ge=0, le=16_777_216)] = 512
    ok_every: Annotated[int, Field(ge=0, le=1_000_000_000)] = 20


class StoreSection(Section):
    """`url` empty means SQLite in the data directory, `password_env` holds the password of a PostgreSQL server.

    `ok_every: n` keeps each n-th ok image, 0 none.
    """

    url: str | None = None
    password_env: str | None = None
    retention: RetentionSection = RetentionSection()


def with_password(url: str, variable: str) -> str:
    """A database URL with the password from the environment; raises ConfigError if there is none."""
    password = os.environ.get(variable)
    if not password:
        raise ConfigError(f"store.password_env: the environment variable {variable} is not set")
    try:
        return make_url(url).set(password=password).render_as_string(hide_password=False)
    except (ArgumentError, ValueError):
        # Whoever opens it says what is wrong with it.
        return url


class MetricsSection(Section):
    """`/metrics` on the page's address, under its token."""

    enabled: bool = True


HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$")]


class ProxySection(Section):
    """A reverse proxy that has signed people in. It proves itself by the secret, sent as `x-agent-proxy`.

    `user_header` and `role_header` say who it is and what they may: view, operate or engineer; view where it is empty.
    """

    secret_env: str
    user_header: HeaderName = "x-forwarded-user"
    role_header: HeaderName = "x-forwarded-role"


class WebSection(ListenSection):
    """The page. Any address other than loopback needs a token in the environment, or a proxy.

    `token_env` names the variable with the engineers' token; whoever has one of the others may view, or also operate.
    """

    listen: str = "127.0.0.1:8088"
    token_env: str | None = None
    operate_token_env: str | None = None
    view_token_env: str | None = None
    proxy: ProxySection | None = None

    @property
    def is_open(self) -> bool:
        """Whether nobody is asked who they are."""
        return not any((self.token_env, self.operate_token_env, self.view_token_env, self.proxy))
