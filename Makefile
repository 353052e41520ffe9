# Everything Droplift needs beyond Go, make and npm is fetched by these targets.

BIN      := bin/droplift
EDGE     := bin/edge
CACHE    := .cache
WEB      := dashboards/viewer/web
PYTHON   := $(CACHE)/python/bin/python
FEAST    := $(CACHE)/feast/bin/python
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
ARGS     :=
CRASH_POINTS := 2000

.PHONY: build wasm demo test chaos screenshots bench lint generate web page chdb kafka python feast clean

build: ## Build bin/droplift
	@go build -ldflags '-X main.version=$(VERSION)' -o $(BIN) .

# Go's older garbage collector is 45 kB smaller, and a scorer keeps hardly any garbage.
wasm: ## Build the scorer for the edge: js.wasm and wasip1.wasm in bin/edge, with Node's example
	@mkdir -p $(EDGE) && cp "$$(go env GOROOT)/lib/wasm/wasm_exec.js" deploy/edge/node/score.mjs $(EDGE)
	@for os in js wasip1; do \
		GOEXPERIMENT=nogreenteagc GOOS=$$os GOARCH=wasm go build -trimpath -ldflags '-s -w' -o $(EDGE)/$$os.wasm ./deploy/edge || exit 1; done

demo: build chdb ## Play a drop from end to end on this machine (ARGS=--exit ends after the report)
	@exec $(BIN) demo $(ARGS)

# Most packages run with the race detector. Models and processors have no goroutines, which a root test makes sure of, and
# the root tests drive whole processes and real data sets: it would make these several times slower and find nothing.
test: lint chdb kafka python feast web ## Every test
	@if [ -d $(WEB)/node_modules ]; then npm --prefix $(WEB) run check && npm --prefix $(WEB) test; fi
	DROPLIFT_PYTHON="$$(ls $(abspath $(PYTHON)) 2>/dev/null)" go test -race -timeout 40m $$(go list ./... | grep -v -e '/droplift$$' -e '/models/' -e '/processors')
	DROPLIFT_PYTHON="$$(ls $(abspath $(PYTHON)) 2>/dev/null)" DROPLIFT_FEAST="$$(ls $(abspath $(FEAST)) 2>/dev/null)" go test -timeout 60m . ./models/... ./processors/...

chaos: chdb kafka ## 2,000 crash points instead of 200 (about an hour; CRASH_POINTS=n, DROPLIFT_TEST_SEED=n)
	DROPLIFT_REQUIRE=kafka,clickhouse DROPLIFT_CRASH_POINTS=$(CRASH_POINTS) go test -v -timeout 6h -run '^Test(Broker)?CrashPoints$$' .

screenshots: chdb web ## Take the README's picture; all others go to .cache/screenshots
	DROPLIFT_REQUIRE=clickhouse,chromium,web DROPLIFT_SCREENSHOTS=$(abspath $(CACHE)/screenshots) go test -timeout 40m -run '^TestViewer$$' .
	mkdir -p dashboards/viewer/screenshots && cp $(CACHE)/screenshots/drop-live-dark-desktop.png dashboards/viewer/screenshots/drop-live.png

bench: build chdb kafka ## Measure the bars; writes bench.json
	go test -run '^$$' -bench '^BenchmarkBars$$' -benchtime 1x -timeout 60m .

lint: ## Formatting, vet
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "not gofmt'ed: $$unformatted"; exit 1; }
	@go vet ./...

generate: page ## Rewrite generated files: codec, schemas, dashboards, alerts, the viewer's page
	go generate ./...

page: web ## Build the viewer's page, which the binary embeds
	npm --prefix $(WEB) run build

web: $(WEB)/node_modules/.package-lock.json ## What the viewer's page is built and tested with
$(WEB)/node_modules/.package-lock.json: $(WEB)/package.json $(WEB)/package-lock.json
	@if command -v npm >/dev/null; then npm --prefix $(WEB) ci --no-audit --no-fund --loglevel=error && touch $@; \
	else echo "npm is absent: the viewer's page is not built or tested"; fi

chdb: ## Fetch the pinned ClickHouse library (npm, checksum verified, cached)
	@deploy/embedded/fetch-chdb.sh

kafka: ## Fetch the pinned Apache Kafka that tests and benchmarks run (Maven, cached)
	@deploy/apachekafka/fetch-kafka.sh

python: $(CACHE)/python/ready ## Python clients that tests drive the servers with, and the trainers whose models they import
$(CACHE)/python/ready: deploy/embedded/testdata/requirements.txt models/trees/testdata/requirements.txt
feast: $(CACHE)/feast/ready ## The feature store that a test loads deploy/feast into
$(CACHE)/feast/ready: deploy/feast/requirements.txt
$(CACHE)/%/ready:
	@if command -v python3 >/dev/null; then \
		python3 -m venv $(@D) && $(@D)/bin/python -m pip install --quiet --disable-pip-version-check $(addprefix -r ,$^) && touch $@; \
	else echo "python3 is absent: tests that need $(@D) are skipped"; fi

clean: ## Remove builds and the demo's data
	rm -rf bin data bench.json
