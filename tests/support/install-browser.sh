#!/bin/sh
# A Chromium for the tests: the one on PATH, or Playwright's own; where neither is there, the
# system's package, or without the right to install one, Playwright's. Fails where none is had.
set -e
tests="$(dirname "$0")"
python="$tests/../../.venv/bin/python"
if [ ! -x "$python" ]; then python=python3; fi

for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$name" >/dev/null; then exit 0; fi
done
if "$python" "$tests/browser.py" >/dev/null 2>&1; then exit 0; fi

as_root=""
if [ "$(id -u)" != 0 ]; then as_root="sudo -n"; fi # asks for no password: a test run may be alone

package() {
    if command -v apt-get >/dev/null; then
        $as_root apt-get update -qq &&
            $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null
    elif command -v dnf >/dev/null; then
        $as_root dnf install -y -q chromium
    elif command -v brew >/dev/null; then
        brew install --quiet --cask chromium
    else
        echo "No package manager known here." >&2
        return 1
    fi
}

if package; then exit 0; fi
echo "No package of Chromium could be installed; trying Playwright's own." >&2
if "$python" -m playwright install chromium; then exit 0; fi
echo "No Chromium could be had: install one on PATH, or run \`playwright install chromium\`." >&2
exit 1
