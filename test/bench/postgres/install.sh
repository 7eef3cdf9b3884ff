#!/usr/bin/env bash
# Unpack PgBouncer and pgpool-II from the distribution's packages into DIR,
# without installing them: their services would start.
set -euo pipefail
dir=${1:?usage: install.sh DIR}
[ -x "$dir/usr/sbin/pgbouncer" ] && [ -x "$dir/usr/sbin/pgpool" ] && exit 0
mkdir -p "$dir/debs/partial"
sudo=""
[ "$(id -u)" -eq 0 ] || sudo=sudo
$sudo apt-get update -q
$sudo apt-get install -yq --no-install-recommends --download-only -o Dir::Cache::archives="$(realpath "$dir")/debs" pgbouncer pgpool2
for deb in "$dir"/debs/*.deb; do dpkg -x "$deb" "$dir"; done
