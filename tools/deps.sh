#!/usr/bin/env bash
# Install what this machine lacks. Says nothing where nothing is missing.
set -euo pipefail

have() { command -v "$1" >/dev/null 2>&1; }
have_postgres() {
	have initdb && have pg_basebackup && return
	have pg_config && [ -x "$(pg_config --bindir)/initdb" ] && return
	compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null
}

# The public suite for HTTP caches, which test/conformance/httpcache runs.
suite=build/cache-tests/node_modules/http-cache-tests/cli.mjs
cd "$(dirname "$0")/.."

missing=()
have_postgres || missing+=(postgresql)
have psql || missing+=(postgresql-client)
have curl || missing+=(curl)
if [ "$(uname)" = Linux ]; then
	have ip || missing+=(iproute2)
fi
have node || missing+=(nodejs)
[ -f "$suite" ] || have npm || missing+=(npm)

suite() {
	[ -f "$suite" ] && return
	echo "installing http-cache-tests"
	npm install --prefix build/cache-tests --omit=dev --no-audit --no-fund --silent http-cache-tests@0.4.5
}

[ ${#missing[@]} -eq 0 ] && { suite; exit 0; }

if ! have apt-get; then
	echo "missing: ${missing[*]}; install them with this system's package manager" >&2
	exit 1
fi
sudo=""
[ "$(id -u)" -eq 0 ] || sudo=sudo
echo "installing ${missing[*]}"
$sudo apt-get update -q
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -yq --no-install-recommends "${missing[@]}"
suite
