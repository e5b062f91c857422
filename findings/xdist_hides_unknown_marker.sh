#!/usr/bin/env bash
# pytest 9.2.0 with pytest-xdist 3.8.0: with --strict-markers, `-m` with a marker that is not registered is a usage error
# with a clear sentence ("Unknown marker(s) in '-m' expression"). With `-n 2` the same command line ends as an internal
# error of the controller instead (AssertionError in dsession.worker_workerfinished, with the name of a test that has
# nothing to do with it), and the sentence is not printed at all. A marker that a conftest.py registers, which is not
# among the arguments, is enough. What to do: run once without -n to see the reason.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pytest==9.2.0 pytest-xdist==3.8.0
cd "$work"
printf 'def test_one():\n    pass\n\n\ndef test_two():\n    pass\n' > test_marked.py
run() { "$work/venv/bin/pytest" -p no:cacheprovider --strict-markers -m 'not slow' "$@" test_marked.py 2>&1 || true; }

alone=$(run)
parallel=$(run -n 2)
echo "--- without xdist:"
tail -n 2 <<< "$alone"
echo "--- with -n 2:"
grep INTERNALERROR <<< "$parallel" | tail -n 2
grep -q "Unknown marker(s) in '-m' expression: slow" <<< "$alone"
grep -q 'INTERNALERROR> AssertionError' <<< "$parallel"
! grep -q 'Unknown marker' <<< "$parallel"
