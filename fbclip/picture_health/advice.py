"""What to do about a picture that cannot be judged: one line for each reason, for people at the line. Pure."""

from __future__ import annotations

from fbclip.picture_health.displacement import Displacement

ADVICE = {
    "black": "the picture is black: take the cover off the lens, check light and exposure",
    "overexposed": "the picture is white: check exposure and light",
    "flat": "the picture has no contrast: check lens, light and cable",
    "frozen": "the source repeats the same picture bit for bit: restart the camera, or what feeds it",
}


def advice_for(reason: str) -> str | None:
    """For reasons that need no numbers; None where there is nothing more to say than the reason does."""
    return ADVICE.get(reason)


def moved_advice(found: Displacement, width: int, height: int) -> str:
    """`width` and `height` of the part that is looked at, in frame pixels."""
    ways = []
    for share, side, words in ((found.right, width, ("right", "left")), (found.down, height, ("down", "up"))):
        pixels = round(abs(share) * side)
        if pixels:
            to = words[share < 0]
            ways.append(f"{pixels} px {'to the ' if to in {'right', 'left'} else ''}{to}")
    if found.turned:
        ways.append(f"{abs(found.turned):.0f}° {'counter-clockwise' if found.turned > 0 else 'clockwise'}")
    return f"the picture has moved by about {', '.join(ways)}: put camera or part back in place, or calibrate anew"


def dimmed_advice(level: float, least: float) -> str:
    """Grey levels of the highlights, see `Light`."""
    return f"too little light: highlights at grey level {level:.0f}, at least {least:.0f} expected: check light, lens"


def too_bright_advice(level: float, most: float) -> str:
    """Mean grey levels."""
    return f"too much light: mean grey level {level:.0f}, at most {most:.0f} expected: check light, exposure"


def blurred_advice(lacking: float) -> str:
    """`lacking`: how far sharpness lies below its limit, in powers of 2."""
    return f"the picture is blurred (sharpness {lacking:.1f} below the least): clean the lens, check focus and shaking"
