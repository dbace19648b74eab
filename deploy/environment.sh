# Sourced by run.sh, test.sh and install.sh: environments with the package in them.
# WHEELHOUSE=folder installs from there without a network; deploy/wheelhouse.sh makes one.
# CPU=1 takes torch without CUDA, from CPU_INDEX: half a gigabyte instead of six.

CPU_INDEX="${CPU_INDEX:-https://download.pytorch.org/whl/cpu}"

find_python() { # sets PYTHON, or says what is needed
    PYTHON="${PYTHON:-python3}"
    if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        echo "error: Python 3.11 or newer is needed; name one with PYTHON=/path/to/python3" >&2
        return 2
    fi
}

install_into() { # install_into ENVIRONMENT PIP-ARGUMENTS...
    local pip=("$1/bin/python" -m pip install --quiet) from=()
    shift
    [ -n "${WHEELHOUSE:-}" ] && from=(--no-index --find-links "$WHEELHOUSE")
    if [ -n "${CPU:-}" ] && [ -z "${WHEELHOUSE:-}" ]; then
        # First, so that what needs torch finds it. There is no falling back to the large one behind anybody's back.
        "${pip[@]}" --index-url "$CPU_INDEX" torch torchvision || {
            echo "error: no torch without CUDA from $CPU_INDEX; name a mirror with CPU_INDEX=, use WHEELHOUSE=folder, or leave CPU away" >&2
            return 1
        }
    fi
    "${pip[@]}" "${from[@]}" "$@" || {
        echo "error: the installation failed; offline, point WHEELHOUSE at a folder of wheels" >&2
        return 1
    }
}

make_environment() { # make_environment EXTRAS: .venv, once for each state of pyproject.toml
    local extras="$1" stamp=".venv/.installed$1"
    find_python || return
    if [ -f "$stamp" ] && [ ! pyproject.toml -nt "$stamp" ]; then
        return 0
    fi
    if [ ! -x .venv/bin/python ]; then
        echo "making .venv ..."
        "$PYTHON" -m venv .venv || { echo "error: no virtual environment could be made (is python3-venv installed?)" >&2; return 1; }
    fi
    echo "installing; torch is large, the first time takes minutes ..."
    install_into .venv -e ".$extras" || return
    touch "$stamp"
}
