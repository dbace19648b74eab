#!/usr/bin/env bash
# The agent as a service of this machine. As root:
#   bash deploy/install.sh WHEEL         installs; over an older one it upgrades, and goes back by itself if that fails
#   bash deploy/install.sh --roll-back   back to the release before the last upgrade
# WHEELHOUSE=folder: without a network. CPU=1: torch without CUDA. EXTRAS=postgresql,plc. PYTHON=/path/to/python3.
# PREFIX=folder: everything below it and no account made, for a test or an image.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
. "$here/environment.sh"

PREFIX="${PREFIX:-}"
RELEASES="$PREFIX/opt/fbclip/releases" CURRENT="$PREFIX/opt/fbclip/current" PREVIOUS="$PREFIX/opt/fbclip/previous"
ETC="$PREFIX/etc/fbclip" STATE="$PREFIX/var/lib/fbclip" BACKUPS="$PREFIX/var/backups/fbclip"
UNITS="$PREFIX/etc/systemd/system"
CONFIG="$ETC/agent.yaml"
KEPT_RELEASES=3
stamp="$(date -u +%Y%m%dT%H%M%S)"

fail() { echo "error: $*" >&2; exit 1; }

point() { # point LINK TARGET, in one step
    ln -sfn "$2" "$1.new" && mv -T "$1.new" "$1"
}

own() { # what root has touched is the agent's again; it may read its configuration, not change it
    [ -n "$PREFIX" ] && return
    chown -R fbclip:fbclip "$STATE"
    chown -R root:fbclip "$ETC"
    chmod -R g+rX,o-rwx "$ETC"
    [ ! -e "$ETC/secrets" ] || { chown root:root "$ETC/secrets"; chmod 600 "$ETC/secrets"; }
}

make_release() { # make_release WHEEL: sets `release`; a failure leaves nothing
    release="$RELEASES/$stamp"
    find_python
    mkdir -p "$RELEASES"
    "$PYTHON" -m venv "$release" || fail "no virtual environment could be made (is python3-venv installed?)"
    install_into "$release" "$1${EXTRAS:+[$EXTRAS]}" || { rm -rf "$release"; exit 1; }
    "$release/bin/agent" --help >/dev/null || { rm -rf "$release"; fail "the new release does not run"; }
}

first_files() {
    mkdir -p "$ETC" "$UNITS" "$PREFIX/etc/systemd/journald.conf.d"
    mkdir -p -m 700 "$STATE" "$BACKUPS"
    if [ -z "$PREFIX" ] && ! id fbclip >/dev/null 2>&1; then
        useradd --system --home-dir "$STATE" --shell /usr/sbin/nologin --groups video fbclip
    fi
    if [ ! -e "$CONFIG" ]; then
        local scratch
        scratch="$(mktemp -d)"
        "$release/bin/agent" init "$scratch/new" >/dev/null
        mkdir -p "$STATE/inbox"
        sed -e "s#data_dir: var #data_dir: $STATE #" -e "s#path: inbox}#path: $STATE/inbox}#" "$scratch/new/agent.yaml" > "$CONFIG"
        cp "$scratch/new/agent.schema.json" "$ETC/"
        rm -rf "$scratch"
        echo "$CONFIG: written; describe your lines there"
    fi
    sed -e "s#/opt/fbclip#$PREFIX/opt/fbclip#; s#/etc/fbclip#$ETC#; s#=/var/lib/fbclip#=$STATE#" \
        "$here/systemd/fbclip-agent.service" > "$UNITS/fbclip-agent.service"
    cp "$here/systemd/journald-fbclip.conf" "$PREFIX/etc/systemd/journald.conf.d/fbclip.conf"
    systemctl daemon-reload
}

go_back() { # go_back BACKUP: the release before, and its database where it cannot read the present one
    systemctl stop fbclip-agent
    local old
    old="$(readlink "$PREVIOUS")"
    if ! "$old/bin/agent" status -c "$CONFIG" >/dev/null 2>&1; then
        [ -e "$1" ] || fail "$old cannot read what is there, and there is no backup of before"
        echo "the database or the configuration is the newer release's: putting $1 in its place"
        "$old/bin/agent" restore --replace "$1" -c "$CONFIG"
    fi
    point "$CURRENT" "$old"
    own
    systemctl start fbclip-agent
}

upgrade() {
    local old backup="$BACKUPS/before-$stamp.tar"
    old="$(readlink "$CURRENT")"
    systemctl stop fbclip-agent
    # With the old release: the new one would change the tables first.
    if [ -e "$STATE/agent.db" ]; then
        "$old/bin/agent" backup --out "$backup" -c "$CONFIG" || { rm -rf "$release"; systemctl start fbclip-agent; fail "no backup, so no upgrade; the old release runs"; }
        point "$BACKUPS/last.tar" "$backup"
    fi
    point "$PREVIOUS" "$old"
    point "$CURRENT" "$release"
    own
    # Returns once the agent says that it judges, or has failed.
    if ! systemctl start fbclip-agent; then
        echo "the new release does not start; going back" >&2
        go_back "$backup"
        rm -rf "$release"
        fail "the upgrade failed and is undone; see: journalctl -u fbclip-agent"
    fi
    # shellcheck disable=SC2012 # the names are our own time stamps
    ls -1d "$RELEASES"/* | head -n "-$KEPT_RELEASES" | grep -vxF -e "$old" -e "$release" | xargs -r rm -rf || true
}

case "${1:-}" in
    --roll-back)
        [ -e "$PREVIOUS" ] || fail "there is no release before this one"
        "$CURRENT/bin/agent" backup --out "$BACKUPS/before-roll-back-$stamp.tar" -c "$CONFIG"
        go_back "$BACKUPS/last.tar"
        echo "back at $(readlink "$CURRENT")"
        ;;
    *.whl)
        [ -e "$1" ] || fail "$1: no such wheel"
        [ -n "$PREFIX" ] || [ "$(id -u)" = 0 ] || fail "as root, please: it makes an account and a service"
        make_release "$1"
        first_files
        if [ -e "$CURRENT" ]; then
            upgrade
            echo "$release runs"
        else
            point "$CURRENT" "$release"
            own
            systemctl enable fbclip-agent
            echo "installed; when $CONFIG says what you want: agent check -c $CONFIG, then systemctl start fbclip-agent"
        fi
        ;;
    *)
        fail "usage: deploy/install.sh WHEEL, or --roll-back"
        ;;
esac
