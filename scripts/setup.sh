#!/bin/sh
# Make .venv from the pinned, hash-checked requirements, unless it is made from just these already.
set -eu
cd "$(dirname "$0")/.."

python=""
for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
    [ -n "$candidate" ] || continue
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "setup: no Python 3.11 or later was found: install python3 (Debian and Ubuntu: apt install python3 python3-venv)" >&2
    exit 2
fi
if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    echo "setup: $python has no venv module: install it (Debian and Ubuntu: apt install python3-venv)" >&2
    exit 2
fi

made_of() {
    "$python" -c 'import hashlib, sys; print(sys.version.split()[0], hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$1"
}
install_project() {
    .venv/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
    made_of pyproject.toml > .venv/project-from
}

wanted=$(made_of requirements/lock.txt)
stamp=.venv/made-from
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && .venv/bin/python -c 'import locust, chaoslib, pyarrow' 2>/dev/null; then
    if [ ! -f .venv/project-from ] || [ "$(cat .venv/project-from)" != "$(made_of pyproject.toml)" ]; then
        install_project
    fi
    exit 0
fi

count=$(grep -c '^[a-z].*==' requirements/lock.txt)
echo "setup: virtual environment with $count pinned packages, hash-checked (about a minute the first time)" >&2
rm -f "$stamp"
"$python" -m venv --clear .venv
# One line now and then: pip says "Collecting NAME==VERSION" for each package as it gets it.
{ .venv/bin/python -m pip install --disable-pip-version-check --progress-bar off --require-hashes -r requirements/lock.txt 2>&1; echo "pip ended with $?"; } |
    awk -v all="$count" '
        /^Collecting/ { if (++n % 20 == 0) { printf "setup: %d of about %d packages\n", n, all; fflush() } }
        /^Installing collected/ { print "setup: installing"; fflush() }
        /^ERROR|^error/ { print; fflush() }
        /^pip ended with/ { code = $4 }
        END { exit code }' >&2
install_project
echo "$wanted" > "$stamp"
echo "setup: done" >&2
