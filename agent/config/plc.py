"""What PLCs and SCADA systems may read, and where: `plc` of agent.yaml."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from agent.config.base import ListenSection, Name, Section

MOST_SLOTS = 64


class ModbusSection(ListenSection):
    """Modbus TCP. `slots`: line -> block of 16 coils and 16 registers, so that no edit of the file moves an address.

    The protocol knows no password: `network: true` says that whoever reaches the port may read and acknowledge.
    """

    listen: str = "127.0.0.1:5020"
    slots: Annotated[dict[Name, Annotated[int, Field(ge=0, lt=MOST_SLOTS)]], Field(min_length=1)]
    network: bool = False

    @model_validator(mode="after")
    def _safe(self) -> ModbusSection:
        if len(set(self.slots.values())) != len(self.slots):
            raise ValueError("two lines have the same slot")
        if not self.loopback and not self.network:
            raise ValueError("listen is not loopback and Modbus knows no password: say network: true to allow it")
        return self


class OpcUaSection(ListenSection):
    """OPC UA, to be read only. Any address other than loopback needs a user and a password from the environment."""

    listen: str = "127.0.0.1:4840"
    username: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = None
    password_env: Annotated[str | None, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = None

    @model_validator(mode="after")
    def _safe(self) -> OpcUaSection:
        if (self.username is None) != (self.password_env is None):
            raise ValueError("username and password_env belong together")
        if not self.loopback and self.password_env is None:
            raise ValueError("listen is not loopback: set username and password_env")
        return self


class PlcSection(Section):
    """`hold_s`: an NG that nobody acknowledges is shown so long at least, whatever comes after it."""

    modbus: ModbusSection | None = None
    opcua: OpcUaSection | None = None
    hold_s: Annotated[float, Field(ge=0, le=60)] = 0.5
