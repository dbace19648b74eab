"""An agent whose decoder's process dies over marked files, and whose own code fails over others and quotes them."""

from agent.cli import main
from fbclip.images.decode_process import DecodeProcess

CRASH, BOOM = b"-the decoder dies over this-", b"-the agent fails over this-"
_decode, _running = DecodeProcess.decode, DecodeProcess._running


def _failing(self, data, *arguments):
    if data.endswith(BOOM):
        raise RuntimeError(f"cannot read {data!r}")
    self.doomed = data.endswith(CRASH)
    return _decode(self, data, *arguments)


def _dying(self, cancelled):
    process = _running(self, cancelled)
    if getattr(self, "doomed", False):
        process.kill()
        process.wait()
    return process


if __name__ == "__main__":
    DecodeProcess.decode, DecodeProcess._running = _failing, _dying
    main()
