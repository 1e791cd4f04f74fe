# The project's commands. `make demo` and `make test` set up what they need first.
.DEFAULT_GOAL := help
.PHONY: help setup demo chaos test test-all matrix bench pages site check format lock release
MAKEFLAGS += --no-print-directory
BIN := .venv/bin
CODE := config tasks worker web access metrics callbacks bitrix24 ledger limiter reconciling cli emulator chaos benchmarks manual release deploy tests

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 10

setup: ## Make .venv with everything; seconds when nothing changed
	@.ci/environment dev

demo: ## Watch payments travel from a CSV file to a portal and back
	@.ci/environment demo
	@$(BIN)/b24pay demo

# Seeds: SEED=7 make chaos. The history of every fault and every invoice: KEEP=build/chaos make chaos.
SEED ?= 1
chaos: ## Prove it: 10,000 payments through kills, power losses and lost replies; ten minutes
	@.ci/environment demo
	@$(BIN)/b24pay chaos --payments 10000 --worker-kills 200 --redis-kills 50 --power-losses 20 --zombies 20 \
		--lost-replies 5 --seed $(SEED) $(if $(KEEP),--keep $(KEEP))

# More processes than cores: many tests wait for a lease, a pause or a server.
test: setup lint ## Prove that everything works: lint, types, all tests
	@$(BIN)/python -m pytest -n 4 --dist worksteal

test-all: test ## Everything that `test` leaves out as well: browser, containers, charts, documentation, long storms
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m whole -rs

matrix: setup ## Harm processes at every point, cut calls at every byte; writes docs/*_matrix.md
	@$(BIN)/python -m tests.matrix

# One scenario: NAME=burst make bench. Smaller numbers: QUICK=--quick make bench.
bench: setup ## Measure ours and other clients side by side; writes docs/benchmarks/; half an hour
	@$(BIN)/python -m benchmarks $(NAME) $(QUICK) --write

pages: setup ## Write the made pages of docs/ anew, from the code
	@$(BIN)/python -m manual

site: setup ## Build the documentation into build/site; a dead link or anchor fails
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir build/site

check: setup lint ## The quick part of `test`: lint, types, unit tests
	@$(BIN)/python -m pytest -n 2 tests/unit

.PHONY: lint
lint: setup
	@$(BIN)/ruff check -q $(CODE)
	@$(BIN)/ruff format -q --check $(CODE)
	@$(BIN)/mypy --no-error-summary

release: setup ## Rehearse a release: VERSION=0.2.0 make release; with REALLY=--really commit and tag it
	@$(BIN)/python -m release $(VERSION) $(REALLY)

format: setup ## Format the code and mend what the linter can
	@$(BIN)/ruff format -q $(CODE)
	@$(BIN)/ruff check -q --fix $(CODE)

# One version of a package in all files: the smaller sets take what the whole set agreed on.
COMPILE := compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-annotate --custom-compile-command "make lock"
lock: ## Pin all requirements anew, with hashes (needs uv; UPGRADE=-U takes newer versions)
	@uv pip $(COMPILE) $(UPGRADE) -o requirements-dev.txt pyproject.toml --group dev
	@uv pip $(COMPILE) $(UPGRADE) -o requirements.txt -c requirements-dev.txt pyproject.toml
	@uv pip $(COMPILE) $(UPGRADE) -o requirements-demo.txt -c requirements-dev.txt --group demo
	@uv pip $(COMPILE) $(UPGRADE) -o requirements-build.txt -c requirements-dev.txt --group build
