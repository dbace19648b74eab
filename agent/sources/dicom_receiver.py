"""DICOM objects that are sent here (C-STORE) -> files of a hot folder.

`success` is answered only when the object lies on the disk under its name: from then on the folder's ledger answers for
it. What cannot be kept is refused with a failure, so the sender keeps it.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from typing import Any

from pydicom import dcmread
from pydicom.uid import AllTransferSyntaxes, DeflatedExplicitVRLittleEndian
from pynetdicom import AE, AllStoragePresentationContexts, _config, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from agent.config.source import DicomSource
from agent.errors import SourceError
from agent.sources.folder import Folder
from fbclip.errors import ImageError
from fbclip.files import write_atomically
from fbclip.images.scans.quiet import quiet

log = logging.getLogger(__name__)
SUCCESS, NO_RESOURCES, MISMATCH, NOT_UNDERSTOOD = 0x0000, 0xA700, 0xA900, 0xC000
MB = 1 << 20
# What is left of the disk is for the database.
FLOOR_BYTES = 64 * MB
_LARGEST_PDU = 16_382
# An association's own request names what it wants to send, and is no larger than this.
_LARGEST_READ = 256 << 10
# What comes in beside the object itself: the command, and the heads of its pieces.
_SPARE_BYTES = MB
# Connections for each association that is allowed: a mere look at the port counts as long as it may be silent.
_CROWD = 8
_SILENT_S = 5.0

# Its log quotes identifiers of what is sent, and its own handlers decode it only to log it.
_config.LOG_HANDLER_LEVEL = "none"
logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)
logging.getLogger("pynetdicom").propagate = False


class DicomReceiver:
    """A receiver and the folder that it fills, as one source."""

    def __init__(
        self,
        line: str,
        section: DicomSource,
        folder: Folder,
        free_bytes: Callable[[Any], int] = lambda path: shutil.disk_usage(path).free,
    ) -> None:
        """`free_bytes`: of the disk below a folder."""
        self._line = line
        self._section = section
        self._folder = folder
        self._free_bytes = free_bytes
        self._largest = int(section.object_mb * MB)
        self._lock = threading.Lock()
        self._counts = {"received": 0, "again": 0, "refused": 0}

    @property
    def health(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in self._counts.items() if count)
        return f"{self._folder.health}, DICOM: {counts or 'nothing received yet'}"

    @property
    def problem(self) -> str | None:
        return self._folder.problem

    @property
    def unavailable(self) -> bool:
        return self._folder.unavailable

    def check(self) -> None:
        """Raises SourceError where the folder for received objects cannot be made or read."""
        self._make_folder()
        self._folder.check()

    def run(self, stop: threading.Event) -> None:
        """Receive and hand over until `stop`. Raises SourceError where the address cannot be listened at."""
        self._make_folder()
        entity = self._entity()
        handlers: Any = [
            (evt.EVT_CONN_OPEN, self._bound),
            (evt.EVT_ESTABLISHED, self._established),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_C_ECHO, lambda _: SUCCESS),
        ]
        section = self._section
        try:
            entity.start_server((section.listen, section.port), block=False, evt_handlers=handlers)
        except OSError as error:
            where = f"{section.listen}:{section.port}"
            raise SourceError(f"line {self._line}: DICOM cannot be received at {where}: {error.strerror}") from error
        try:
            self._folder.run(stop)
        finally:
            entity.shutdown()

    def _make_folder(self) -> None:
        try:
            self._section.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SourceError(f"line {self._line}: the folder for DICOM cannot be made: {error.strerror}") from error

    def _entity(self) -> AE:
        section = self._section
        entity = AE(ae_title=section.ae_title)
        # Deflated objects could be far larger than what is sent, and are rare.
        syntaxes = [uid for uid in AllTransferSyntaxes if uid != DeflatedExplicitVRLittleEndian]
        for context in AllStoragePresentationContexts:
            entity.add_supported_context(context.abstract_syntax or "", syntaxes)
        entity.add_supported_context(Verification)
        entity.require_called_aet = True
        entity.require_calling_aet = list(section.allow)
        # The library counts those that have said nothing yet and those that hang up, which must not shut out a sender.
        entity.maximum_associations = _CROWD * section.associations
        entity.maximum_pdu_size = _LARGEST_PDU
        entity.acse_timeout = min(_SILENT_S, section.timeout_s)
        entity.dimse_timeout = entity.network_timeout = section.timeout_s
        return entity

    def _bound(self, event: Any) -> None:
        """Each connection may send so much at once, and so much for one object: more ends it, as does a crowd."""
        connection: Any = event.assoc.dul.socket
        read, event.assoc.received, event.assoc.is_too_many = connection.recv, 0, False
        if len(event.assoc.ae.active_associations) > _CROWD * self._section.associations:
            _hang_up(connection)

        def recv(count: int) -> bytearray:
            event.assoc.received += count
            too_large = count > _LARGEST_READ or event.assoc.received > self._largest + _SPARE_BYTES
            if too_large or event.assoc.is_too_many:
                self._count("refused")
                _hang_up(connection)
                raise OSError("more than is taken")
            return bytearray(read(count))

        connection.recv = recv

    def _established(self, event: Any) -> None:
        """One association too many is ended as soon as it sends something: its sender tries again later."""
        established = [one for one in event.assoc.ae.active_associations if one.is_established]
        event.assoc.is_too_many = len(established) > self._section.associations

    def _store(self, event: Any) -> int:
        event.assoc.received = 0
        try:
            status = self._keep(event)
        except Exception as error:
            # One object never stops the receiver; the sender keeps it.
            log.error("line %s: a DICOM object cannot be kept: %s", self._line, type(error).__name__)
            status = NOT_UNDERSTOOD
        if status != SUCCESS:
            self._count("refused")
        return status

    def _keep(self, event: Any) -> int:
        data = event.encoded_dataset()
        if len(data) > self._largest:
            return NO_RESOURCES
        try:
            with quiet("DICOM"):
                named = dcmread(BytesIO(data), stop_before_pixels=True, specific_tags=["SOPClassUID", "SOPInstanceUID"])
                found = (str(named.SOPClassUID), str(named.SOPInstanceUID))
        except ImageError:
            return NOT_UNDERSTOOD
        if found != (str(event.request.AffectedSOPClassUID), str(event.request.AffectedSOPInstanceUID)):
            return MISMATCH
        return self._write(data)

    def _write(self, data: bytes) -> int:
        # Named by its content: an identifier must not be a name, and the same object sent again is the same file.
        name = f"{hashlib.sha256(data).hexdigest()}.dcm"
        with self._lock:
            if any((folder / name).exists() for folder in self._section.folders):
                self._count("again")
                return SUCCESS
            try:
                if self._free_bytes(self._section.path) < len(data) + FLOOR_BYTES:
                    return NO_RESOURCES
                write_atomically(self._section.path / name, data, mode=0o600)
            except OSError as error:
                log.error("line %s: a DICOM object cannot be kept: %s", self._line, error.strerror)
                return NO_RESOURCES
        self._count("received")
        return SUCCESS

    def _count(self, name: str) -> None:
        self._counts[name] += 1


def _hang_up(connection: Any) -> None:
    with suppress(OSError, AttributeError):
        connection.socket.shutdown(socket.SHUT_RDWR)
