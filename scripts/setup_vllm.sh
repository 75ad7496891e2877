#!/bin/sh
# setup_vllm.sh VENV: a virtual environment with rmlab and vLLM for CPUs, of the files that locks/ names.
set -eu
venv=$1
python=${PYTHON:-python3}

stop() {
    echo "setup: $1" >&2
    exit 2
}

command -v "$python" >/dev/null 2>&1 || stop "no $python; install Python 3.11 or newer: apt-get install python3"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    stop "$("$python" --version 2>&1) is too old; name a newer one: make PYTHON=python3.11"
"$python" -c 'import venv, ensurepip' >/dev/null 2>&1 ||
    stop "$python has no venv module; install it: apt-get install python3-venv"
[ "$(uname -sm)" = "Linux x86_64" ] || stop "the pinned vLLM is for Linux on x86-64; elsewhere see vLLM's own guide"
grep -qw avx2 /proc/cpuinfo || stop "vLLM needs a CPU with AVX2, which this one has not"

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
echo '*' >"$venv/.gitignore"
pip() {
    "$venv/bin/python" -m pip --disable-pip-version-check --quiet "$@"
}
echo "setup: installing into $venv (a few minutes the first time)"
# what a lock names, and only files with its hashes; nothing else comes, such as what the model's package
# declares and nobody uses
for lock in build vllm; do
    pip install --require-hashes --no-deps --no-build-isolation -r "locks/$lock.txt"
done
# torch by its version: its file is another in each index
if [ -n "${TORCH_INDEX:-}" ]; then
    pip install -c constraints-vllm.txt --index-url "$TORCH_INDEX" torch
else
    pip install -c constraints-vllm.txt torch
fi
pip install --no-deps --no-build-isolation -e .
touch "$venv/.ready"
