#!/bin/sh
# A Chromium for the tests: the one on PATH, or the system's package. Fails where neither is there.
set -e
for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$name" >/dev/null; then exit 0; fi
done
as_root=""
if [ "$(id -u)" != 0 ]; then as_root="sudo"; fi
if command -v apt-get >/dev/null; then
    $as_root apt-get update -qq
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null
elif command -v dnf >/dev/null; then
    $as_root dnf install -y -q chromium
elif command -v brew >/dev/null; then
    brew install --quiet --cask chromium
else
    echo "No Chromium on PATH, and no package manager known here: install one and try again." >&2
    exit 1
fi
