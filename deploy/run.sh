#!/usr/bin/env bash
# One command from a fresh checkout to a judging agent. Arguments go to `agent run`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/environment.sh
make_environment ""

# The hot folder of the sample line starts with sample pictures, once.
if [ ! -e var/inbox ] && [ "$#" -eq 0 ]; then
    mkdir -p var/inbox
    cp deploy/samples/inbox/*.png var/inbox/
fi
exec .venv/bin/agent run "$@"
