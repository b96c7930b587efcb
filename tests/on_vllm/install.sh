#!/bin/sh
# An environment with the build of vLLM for CPUs, for the tests on a real server: install.sh PYTHON DIR
set -eu
python="$1"
place="$2"
here="$(dirname "$0")"
system="$(uname -s) $(uname -m)"
case "$system" in
    "Linux x86_64" | "Linux aarch64") ;;
    *)
        echo "There is no build of vLLM for CPUs on $system, so its tests cannot run here." >&2
        exit 1
        ;;
esac
echo "Installing vLLM for CPUs; on the first run this downloads about 500 MB, and several GB more"
echo "where the package index has no build of torch for CPUs (set PIP_EXTRA_INDEX_URL to PyTorch's)."
"$python" -m venv "$place"
pip() { "$place/bin/python" -m pip --quiet --disable-pip-version-check "$@"; }
pip install torch==2.13.0
# Without dependencies: the lock has them all, less three that vLLM declares and text does not need.
pip install --require-hashes --no-deps -r "$here/requirements.lock"
pip install --no-deps --no-build-isolation -e .
