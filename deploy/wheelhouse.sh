#!/usr/bin/env bash
# A folder of wheels for machines without a network: bash deploy/wheelhouse.sh FOLDER [EXTRA...]
# Made on a machine of the same system, processor and Python. CPU=1: torch without CUDA.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/environment.sh
out="${1:?usage: [CPU=1] deploy/wheelhouse.sh FOLDER [EXTRA...], such as postgresql}"
extras="$(IFS=,; echo "${*:2}")"
find_python
mkdir -p "$out"
out="$(cd "$out" && pwd)"
pip=("$PYTHON" -m pip)
limits=()
if [ -n "${CPU:-}" ]; then
    "${pip[@]}" download --quiet -d "$out" --index-url "$CPU_INDEX" torch torchvision || {
        echo "error: no torch without CUDA from $CPU_INDEX; name a mirror with CPU_INDEX=, or leave CPU away" >&2
        exit 1
    }
    # A newer one from elsewhere would have CUDA again.
    for wheel in "$out"/torch-*.whl "$out"/torchvision-*.whl; do
        IFS=- read -r name version _ <<< "$(basename "$wheel")"
        echo "$name==$version"
    done > "$out/constraints.txt"
    limits=(--constraint "$out/constraints.txt")
fi
"${pip[@]}" wheel --quiet --no-deps -w "$out" .
# By its file, so that nobody else's package of this name is taken; setuptools for run.sh and test.sh.
ours="$(find "$out" -name 'fbclip_inspect-*.whl' | sort | tail -n 1)"
"${pip[@]}" download --quiet -d "$out" --find-links "$out" "${limits[@]}" "$ours${extras:+[$extras]}" setuptools
(cd "$out" && sha256sum -- *.whl > SHA256SUMS)
echo "$out: $(find "$out" -name '*.whl' | wc -l) wheels, $(du -sh "$out" | cut -f1); check them there with: sha256sum -c SHA256SUMS"
echo "install there with: WHEELHOUSE=FOLDER bash deploy/install.sh FOLDER/fbclip_inspect-*.whl"
