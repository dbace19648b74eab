# Sourced by run.sh and test.sh: makes .venv with the package in it, once for each state of pyproject.toml.
# WHEELHOUSE=folder installs from there without a network.

make_environment() { # make_environment EXTRAS
    local extras="$1" python="${PYTHON:-python3}" stamp=".venv/.installed$1"
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        echo "error: Python 3.11 or newer is needed; name one with PYTHON=/path/to/python3" >&2
        return 2
    fi
    if [ -f "$stamp" ] && [ ! pyproject.toml -nt "$stamp" ]; then
        return 0
    fi
    if [ ! -x .venv/bin/python ]; then
        echo "making .venv ..."
        "$python" -m venv .venv || { echo "error: no virtual environment could be made (is python3-venv installed?)" >&2; return 1; }
    fi
    echo "installing; torch is large, the first time takes minutes ..."
    local from=()
    [ -n "${WHEELHOUSE:-}" ] && from=(--no-index --find-links "$WHEELHOUSE")
    .venv/bin/python -m pip install --quiet "${from[@]}" -e ".$extras" || {
        echo "error: the installation failed; offline, point WHEELHOUSE at a folder of wheels" >&2
        return 1
    }
    touch "$stamp"
}
