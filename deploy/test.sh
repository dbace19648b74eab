#!/usr/bin/env bash
# Lint, types and all tests in the same environment as run.sh. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/environment.sh
make_environment "[dev]"

.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
# Model hubs stay out of it: every test must pass on what is in the checkout. Two files at a time, since many tests wait
# for processes; each computes with one thread then.
HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n 2 --dist loadfile "$@"
