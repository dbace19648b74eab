#!/usr/bin/env bash
# One command from a fresh checkout to a judging agent. Arguments go to `agent run`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/environment.sh
make_environment ""

# On the first run the sample images arrive in the hot folder one by one, so that there is something to watch.
# Each is copied under a hidden name and then renamed, as a careful sender does it.
if [ ! -e var/inbox ] && [ "$#" -eq 0 ]; then
    mkdir -p -m 700 var
    mkdir -p var/inbox
    (
        for image in deploy/samples/inbox/*.png; do
            name="$(basename "$image")"
            cp "$image" "var/inbox/.$name" && mv "var/inbox/.$name" "var/inbox/$name"
            sleep 4
        done
    ) &
fi
exec .venv/bin/agent run "$@"
