# Each target sets up what it needs; `./paxtrail` makes the environment at first use.
.PHONY: demo test tools proof chaos check lint types laws pins docs sbom audit
RUN = ./paxtrail exec

demo:  ## the whole of it, on two days of real flights
	./paxtrail demo

test: jars  ## all tests but those of the tools and the long proof
	$(RUN) pytest -m "not proof and not tools and not chaos" --durations=25 --durations-min=10

tools: jars  ## tests of schedules, marts and dashboards, with Airflow, dbt and Superset
	$(RUN) pytest -m "tools and not proof"

proof: jars  ## the long proof
	$(RUN) pytest -m proof

chaos: jars  ## parts killed at random under load, most of an hour; with `minutes=2 seed=1` what CI does
	$(RUN) pytest -m chaos -s --chaos-minutes $(or $(minutes),40) $(if $(seed),--chaos-seed $(seed))

check: lint types laws test tools  ## what CI asks for

lint:
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) sqlfluff lint dbt/models

types:
	$(RUN) mypy

laws:  ## imports point down only; the six laws of tests/architecture
	$(RUN) lint-imports
	$(RUN) pytest -q tests/architecture

jars:
	./paxtrail jars spark kafka druid

UV ?= uv
COMPILE = $(UV) pip compile --quiet --python-version 3.11 --no-emit-index-url --no-header --generate-hashes
pins:  ## compile conf/requirements/*.in
	$(COMPILE) conf/requirements/dev.in -o conf/requirements/dev.txt
	$(COMPILE) conf/requirements/core.in -c conf/requirements/dev.txt -o conf/requirements/core.txt
	$(COMPILE) conf/requirements/airflow.in -o conf/requirements/airflow.txt
	$(COMPILE) conf/requirements/superset.in -o conf/requirements/superset.txt
	$(COMPILE) conf/requirements/audit.in -o conf/requirements/audit.txt

sbom:  ## every pinned package and jar, as CycloneDX
	./paxtrail sbom

audit:  ## known vulnerabilities of every pinned package, asked of PyPI
	for pins in conf/requirements/*.txt; do \
	  $(UV) run --quiet --isolated --no-project --python 3.11 --with-requirements conf/requirements/audit.txt \
	    pip-audit --strict --progress-spinner off --disable-pip --require-hashes -r $$pins || failed=1; \
	done; exit $${failed:-0}

docs:  ## the generated dictionary and OpenAPI
	./paxtrail docs
	./paxtrail openapi
.PHONY: jars
