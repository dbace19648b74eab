"""An agent whose decoder's process dies over marked files, and whose own code fails over others and quotes them."""

from agent.cli import main
from fbclip.images.decode_process import DecodeProcess

CRASH, BOOM = b"-the decoder dies over this-", b"-the agent fails over this-"
_decode, _answer = DecodeProcess.decode, DecodeProcess._answer


def _failing(self, data, *arguments):
    if data.endswith(BOOM):
        raise RuntimeError(f"cannot read {data!r}")
    self.doomed = data.endswith(CRASH)
    return _decode(self, data, *arguments)


def _dying(self, process, seconds, cancelled):
    if getattr(self, "doomed", False) and seconds == self._seconds:
        process.kill()
        process.wait()
    return _answer(self, process, seconds, cancelled)


if __name__ == "__main__":
    DecodeProcess.decode, DecodeProcess._answer = _failing, _dying
    main()
