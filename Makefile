# Two commands do everything on a fresh Debian machine with Go:
#   make up      brings up the example world and prints what to try
#   make test    runs every test
# `make help` lists the rest.

export CGO_ENABLED := 0
BIN   := bin/meridian
WORLD ?= examples/conduit/meridian.yaml
STATE ?= .meridian
BASE  ?= HEAD~1
PKG   ?= ./...
FUZZTIME ?= 30s
EPISODES ?= 30
FAULTS ?= planned
DURABILITY ?= async

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: up
up: deps build ## bring up the example world (WORLD=FILE, STATE=DIR); Ctrl-C ends it
	@$(BIN) up --state $(STATE) $(WORLD)

.PHONY: down
down: build ## end the world
	@$(BIN) down --state $(STATE)

.PHONY: build
build: ## build bin/meridian
	@go build -o $(BIN) ./cmd/meridian

.PHONY: geo
geo: ## a database of countries under CC0, by ip-location-db, for geo: in build/geo/country.mmdb
	@npm install --prefix build/geo --no-audit --no-fund --silent @ip-location-db/geo-whois-asn-country-mmdb
	@cp build/geo/node_modules/@ip-location-db/geo-whois-asn-country-mmdb/geo-whois-asn-country.mmdb build/geo/country.mmdb

.PHONY: deps
deps: ## install what this machine lacks (PostgreSQL, psql, curl, ip, node and the public suite for caches)
	@tools/deps.sh

# What starts PostgreSQL, etcd or worlds: these packages take minutes, and want
# the machine for themselves. make check leaves them out, make test runs all.
SLOW := /(test|examples)/|/store$$|/postgres$$|/postgres/(backup|instance|migrate|pool)$$|/lambda$$

.PHONY: test
test: deps ## every test, with real PostgreSQL, etcd, DNS and TLS
	@go test -timeout 20m $$(go list ./... | grep -vE '$(SLOW)'); unit=$$?; \
	go test -timeout 60m -p 1 $$(go list ./... | grep -E '$(SLOW)') && exit $$unit

.PHONY: check
check: ## format, vet, staticcheck, unit tests, and a build for macOS
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "not formatted: run gofmt -w"; exit 1; }
	go vet ./...
	go tool -modfile=tools/go.mod staticcheck ./...
	GOOS=darwin go build ./...
	go test -short -timeout 5m $$(go list ./... | grep -vE '$(SLOW)')

.PHONY: race
race: deps ## every test under the race detector (needs a C compiler)
	CGO_ENABLED=1 go test -race -short -timeout 60m -p 1 $(PKG)

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME
	@tools/fuzz.sh $(FUZZTIME)

.PHONY: bench
bench: ## benchmarks of PKG, this tree against BASE, in alternating runs
	@tools/benchdiff.sh $(BASE) $(PKG)

.PHONY: bench-postgres
bench-postgres: deps ## the database proxy beside PgBouncer, pgpool-II and a bare relay
	@test/bench/peer/install.sh build/bench pgbouncer pgpool2
	BENCH_PROGRAMS=$(CURDIR)/build/bench go test ./test/bench/postgres -run '^$$' -bench SideBySide -benchtime 1x -timeout 30m

.PHONY: bench-edge
bench-edge: deps build ## the edge beside nginx and HAProxy: cached and passed on, HTTP/1.1 and HTTP/2
	@test/bench/peer/install.sh build/bench nginx haproxy wrk nghttp2-client
	BENCH_PROGRAMS=$(CURDIR)/build/bench go test ./test/bench/edge -run '^$$' -bench SideBySide -benchtime 1x -timeout 30m

.PHONY: latency
latency: deps build ## what a write costs from another region than the primary's
	go run ./test/bench/latency --binary $(BIN)

.PHONY: cover
cover: deps ## coverage by function, in build/cover.txt
	@mkdir -p build
	go test -short -coverprofile=build/cover.out ./... && go tool cover -func=build/cover.out > build/cover.txt && tail -1 build/cover.txt

.PHONY: golden
golden: ## write the golden files of PKG anew (PKG=./config); look at the diff
	@test "$(PKG)" != ./... || { echo "say which: make golden PKG=./config"; exit 1; }
	go test $(PKG) -rewrite

.PHONY: episodes
episodes: deps build ## EPISODES of faults (FAULTS=all: the primary is lost as well), and what clients were told judged
	go run ./test/episodes --binary $(BIN) --episodes $(EPISODES) --faults $(FAULTS) --durability $(DURABILITY)

COUNT ?= 100

.PHONY: purges
purges: deps build ## COUNT purges at five edges and what each took, and 10,000 misses at once
	go run ./test/purges --binary $(BIN) --count $(COUNT)

N ?= 10
.PHONY: switchovers
switchovers: deps build ## N switchovers in a row under load: errors, lost writes, and the pause of each pair of regions
	go run ./test/switchovers --binary $(BIN) --count $(N)

PAIRS ?= 10000
SEED  ?= 0

.PHONY: pairs
pairs: deps build ## PAIRS writes and reads after them, a part with replay 2 s late (SEED=N to repeat)
	go run ./test/pairs --binary $(BIN) --count $(PAIRS) --seed $(SEED)

WRITES ?= 1000000
.PHONY: ledger
ledger: ## WRITES writes through regions in all kinds of trouble, with keys and without: none is executed twice (SEED=N to repeat)
	MERIDIAN_WRITES=$(WRITES) $(if $(filter-out 0,$(SEED)),MERIDIAN_SEED=$(SEED)) go test ./edge -run 'TestNoWriteIsExecutedTwiceInTrouble|TestNoKeyedWriteIsExecutedTwiceInTrouble' -count=1 -timeout 4h -v

.PHONY: conformance
conformance: deps ## pgx's own test suite, directly and through both regions' proxies, compared; the public suites for HTTP caches and HTTP/2; another client of HTTP/3
	apt-get install -y --no-install-recommends ngtcp2-client
	go run ./test/conformance
	go test ./test/conformance/httpcache -count=1 -v
	go test ./test/conformance/h2spec -count=1 -v
	go test ./test/conformance/http3 -count=1 -v

.PHONY: conformance-drivers
conformance-drivers: deps ## the suites of other Go drivers for PostgreSQL, and programs on drivers of other languages, by the same three ways
	apt-get install -y --no-install-recommends python3-asyncpg python3-psycopg python3-psycopg2 python3-pyodbc odbc-postgresql odbcinst libdbd-pg-perl ruby-pg php-cli php-pgsql libpostgresql-jdbc-java openjdk-17-jdk-headless python3-alembic python3-django postgresql-15-pgtap libtap-parser-sourcehandler-pgtap-perl pgcli
	npm install --ignore-scripts --no-package-lock --no-audit --no-fund --prefix test/conformance/drivers/node
	go mod download -C test/conformance/drivers/go
	go run ./test/conformance -programs .
	for s in pq pgconn pgx4 pgtype pgdriver gopg; do go run ./test/conformance -suite $$s || exit 1; done

CONNECTIONS ?= 0
.PHONY: idle
idle: ## what an idle connection costs an edge, and 100,000 at as many edges as it takes (CONNECTIONS=n; REST=time idle before: 10s)
	go test ./test/bench/idle -run '^$$' -bench . -benchtime 1x -timeout 60m -connections $(or $(CONNECTIONS),0) -rest $(or $(REST),10s)

.PHONY: failovers
failovers: deps build ## how long writes are away after each kind of loss (N=rounds)
	go run ./test/failovers --binary $(BIN) --rounds $(or $(N),3)

SOAK ?= 30m
.PHONY: soak
soak: deps build ## half an hour of mixed load from all edges on a world of its own, in which something is broken most of the time
	go run ./test/soak --binary $(BIN) --duration $(SOAK) --faults
