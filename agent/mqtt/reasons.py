"""What is wrong with a broker, in words that say what to do: from exceptions and reason codes, never with a secret."""

from __future__ import annotations

import errno
import socket
import ssl

# X509_V_ERR_* of OpenSSL.
_UNTRUSTED = {2, 18, 19, 20, 21, 27}
_EXPIRED, _NOT_YET = 10, 9
_WRONG_NAME = {62, 64}
_CLIENT_CERTIFICATE = ("CERTIFICATE_REQUIRED", "UNKNOWN_CA", "BAD_CERTIFICATE", "CERTIFICATE_UNKNOWN", "ACCESS_DENIED")
_NO_TLS = "this port may not speak TLS: try mqtt:// in mqtt.url, or the broker's TLS port"

SESSION_TAKEN_OVER = "Session taken over"
UNSUPPORTED_VERSION = "Unsupported protocol version"
_SAME_NAME = "another client has this agent's client id; do two agents run on copies of one data folder?"

# Reason codes of MQTT 5 by their names in paho, which also translates those of 3.1.1.
_REMEDIES = {
    "Bad user name or password": "the credentials are wrong; see mqtt.username and mqtt.password_env",
    "Not authorized": "this user may not connect; see mqtt.username, mqtt.password_env and the broker's access list",
    "Bad authentication method": "the broker wants another way to log in than a password",
    "Banned": "the broker has banned this client; ask who runs it",
    "Client identifier not valid": "the broker does not accept the client id; see its rules for client ids",
    SESSION_TAKEN_OVER: _SAME_NAME,
    UNSUPPORTED_VERSION: "the broker speaks neither MQTT 5 nor 3.1.1",
    "Protocol error": "the broker takes this for broken MQTT; is the address that of a broker?",
    "Malformed packet": "the broker takes this for broken MQTT; is the address that of a broker?",
    "Server unavailable": "the broker is not ready; the agent tries again",
    "Server busy": "the broker has too much to do; the agent tries again",
    "Server shutting down": "the broker is being stopped; the agent tries again",
    "Quota exceeded": "the broker's quota for this client is used up; raise it there",
    "Connection rate exceeded": "the broker limits how often clients may connect; the agent tries again",
    "Message rate too high": "the broker limits the rate of messages; raise it there",
    "Receive maximum exceeded": "the broker takes fewer messages at a time than it has said",
    "Packet too large": "the broker's limit on the size of a packet is too low for the agent; raise it there",
    "Use another server": "put the address of the other broker into mqtt.url",
    "Server moved": "put the broker's new address into mqtt.url",
    "Administrative action": "somebody ended the connection at the broker",
    "Keep alive timeout": "the network or the broker stood still for longer than half a minute",
}


def why_unreachable(host: str, error: BaseException) -> str:
    """Why no connection to `host` came about."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: the broker's certificate {_certificate_fault(host, error)}"
    if isinstance(error, ssl.SSLEOFError):
        return f"TLS: the broker hung up in the handshake; {_NO_TLS}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {_handshake_fault(error.reason or 'the handshake failed')}"
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        # A plain connection has said nothing yet that could be answered so.
        return f"the connection was cut while it was made; where TLS is asked for, {_NO_TLS}"
    return _address_fault(host, error)


def why_refused(code: str) -> str:
    """Of a CONNACK that says no."""
    return f"refused: {_with_remedy(code)}"


def why_hung_up(secure: bool) -> str:
    """Of a connection that was closed instead of answered."""
    if secure:
        return "hung up before answering; a broker that wants a certificate of the client does so: see mqtt.tls.cert"
    return "hung up before answering; a broker that speaks TLS on this port does so: try mqtts:// in mqtt.url"


def why_silent(seconds: float) -> str:
    """Of a connection that was taken and not answered."""
    return f"accepts connections and does not answer within {seconds:.0f} s; is it a broker, and does it hang?"


def why_not_dialled(seconds: float) -> str:
    """Of a connection that is still being made."""
    return f"no answer for {seconds:.0f} s; see mqtt.url, the name server and the firewall"


def why_lost(code: str) -> str:
    """Of a connection that was there."""
    return f"connection lost: {_with_remedy(code)}"


def why_contested(client_id: str) -> str:
    """Of connections that end again and again within seconds."""
    return (
        f"each connection is ended within seconds: perhaps another client has this agent's client id {client_id}; "
        "do two agents run on copies of one data folder?"
    )


def _with_remedy(code: str) -> str:
    remedy = _REMEDIES.get(code)
    return code if remedy is None else f"{code}: {remedy}"


def _address_fault(host: str, error: BaseException) -> str:
    if isinstance(error, socket.gaierror | UnicodeError):
        return f"the host name {host} cannot be resolved; see mqtt.url and the name server"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused: nothing listens there; is the broker running, is the port right?"
    if isinstance(error, TimeoutError) and "handshake" in str(error):
        return f"no answer to the TLS handshake; {_NO_TLS}"
    if isinstance(error, TimeoutError):
        return "no answer in time; is the address right, does a firewall swallow it?"
    text = " ".join((getattr(error, "strerror", None) or str(error) or type(error).__name__).split())
    if isinstance(error, OSError) and error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN):
        return f"unreachable: {text}; is the network up, is the address right?"
    return f"cannot be reached: {text}"


def _certificate_fault(host: str, error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in _WRONG_NAME:
        return f"is not for the host name {host}; use the name in the certificate in mqtt.url"
    if error.verify_code in _UNTRUSTED:
        return f"is not from a trusted CA ({error.verify_message}); put that CA into mqtt.tls.ca"
    if error.verify_code == _EXPIRED:
        return "has expired; renew it, or set the clock of this machine"
    if error.verify_code == _NOT_YET:
        return "is not valid yet; is the clock of this machine right?"
    return f"cannot be trusted: {error.verify_message}"


def _handshake_fault(reason: str) -> str:
    if "WRONG_VERSION_NUMBER" in reason or "HTTP_REQUEST" in reason:
        return f"the answer is not TLS; {_NO_TLS}"
    if any(word in reason for word in _CLIENT_CERTIFICATE):
        return f"the broker refuses the agent's certificate ({reason}); see mqtt.tls.cert"
    return f"the handshake failed: {reason}"
