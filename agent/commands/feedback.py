"""`agent feedback INSPECTION ok|anomaly`: what an inspection really was, told to the agent that runs."""

from __future__ import annotations

import getpass
import json

from agent.commands.options import FeedbackRequest
from agent.commands.talk import print_answer, tell
from agent.config.loader import load_config
from agent.steering.commands import OTHER_WORDS, CommandError, parse
from fbclip.errors import ConfigError

VERB = "feedback"


def feedback_command(request: FeedbackRequest) -> int:
    """Print the answer; returns 1 for a refusal. Raises ConfigError, or AgentError where no agent answers."""
    if request.label not in OTHER_WORDS:
        raise ConfigError(f"{request.label}: must be {' or '.join(OTHER_WORDS)}")
    config = load_config(request.config)
    body = {
        "inspection_id": request.inspection,
        "label": OTHER_WORDS[request.label],
        "note": request.note,
        "by": request.by or getpass.getuser(),
    }
    payload = json.dumps({key: value for key, value in body.items() if value is not None}).encode()
    try:
        # What is wrong by itself need not trouble the agent.
        parse(VERB, payload)
    except CommandError as error:
        raise ConfigError(str(error)) from error
    return print_answer(*tell(config, VERB, payload), request.as_json)
