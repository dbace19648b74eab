"""One file a command: what it does; `agent/cli.py` says what the user may say."""
