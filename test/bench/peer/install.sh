#!/usr/bin/env bash
# Unpack packages of the distribution, with the libraries that they want, into
# DIR without installing them: their services would start.
set -euo pipefail
dir=${1:?usage: install.sh DIR PACKAGE...}
shift
missing=()
for package in "$@"; do [ -e "$dir/have/$package" ] || missing+=("$package"); done
[ ${#missing[@]} -gt 0 ] || exit 0
mkdir -p "$dir/debs/partial" "$dir/have"
sudo=""
[ "$(id -u)" -eq 0 ] || sudo=sudo
$sudo apt-get update -q
$sudo apt-get install -yq --no-install-recommends --download-only -o Dir::Cache::archives="$(realpath "$dir")/debs" "${missing[@]}"
for deb in "$dir"/debs/*.deb; do dpkg -x "$deb" "$dir"; done
for package in "${missing[@]}"; do touch "$dir/have/$package"; done
