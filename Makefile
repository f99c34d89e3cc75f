# Everything lands in var/, which is ignored and may be removed at any time.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.SILENT:
.PHONY: help run test check coverage faults fuzz standards timing clean venv venv-dev venv-module services
.NOTPARALLEL:

PORT ?= 8000
PYTHON ?= python3
BIN := var/venv/bin

help:
	echo "make run [PORT=8000]  inicia o portal com dados de exemplo; Ctrl-C encerra"
	echo "make test             instala o que falta e executa todos os testes"
	echo "make coverage         mede que linhas e ramos os testes percorrem, os modelos das páginas inclusive (meia hora)"
	echo "make faults           derruba cada parte do portal em pleno uso e confere se algo se perdeu (meia hora)"
	echo "make timing           mede se o tempo das respostas diz quem está cadastrado (uma hora, máquina sem uso)"
	echo "make fuzz             envia 10.000 entradas geradas a cada formulário (FUZZ_EXAMPLES; horas)"
	echo "make standards        refaz a tabela das normas em SECURITY.md, a partir dos testes"
	echo "make check            formatação, lint, tipos, importações, migrações, configuração de produção"
	echo "make venv             prepara var/venv"
	echo "make clean            remove var/: ambiente virtual, banco de dados e registros da demonstração"

run: venv
	PORTAL_DEMO=1 exec $(BIN)/python manage.py run_portal --port "$(PORT)"

# $(1): the requirements files. Their copy in the environment tells what is installed there.
define install
	if ! $(BIN)/python -c "" 2>/dev/null; then
	    if ! $(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))"; then
	        echo "O portal precisa de Python 3.11 ou mais novo. Indique qual usar: make run PYTHON=python3.11" >&2
	        exit 1
	    fi
	    rm -rf var/venv
	    if command -v uv >/dev/null; then
	        uv venv --quiet --python "$(PYTHON)" var/venv
	    elif ! $(PYTHON) -m venv var/venv >/dev/null; then
	        rm -rf var/venv
	        echo "Falta o módulo venv do Python. No Debian e no Ubuntu, instale-o com: apt-get install python3-venv" >&2
	        exit 1
	    fi
	fi
	if ! cat $(1) | cmp --silent - "var/venv/$(lastword $(1))"; then
	    echo "Instalando as bibliotecas em var/venv…"
	    if command -v uv >/dev/null; then
	        uv pip install --quiet --python $(BIN)/python --requirement $(lastword $(1))
	    else
	        $(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	        # Compiling what is never imported would take longer than the download.
	        $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --prefer-binary --no-compile \
	            --requirement $(lastword $(1))
	    fi
	    cat $(1) > "var/venv/$(lastword $(1))"
	fi
endef

venv:
	$(call install,requirements.txt)

venv-dev: venv
	$(call install,requirements.txt requirements-dev.txt)

# The settings are those of production, as .env.example gives them, with keys made for the occasion.
check: venv-dev
	$(BIN)/ruff format --check --output-format concise .
	$(BIN)/ruff check .
	$(BIN)/djangofmt --check templates
	$(BIN)/djangofmt check templates
	$(BIN)/lint-imports --cache-dir var/import_linter
	unset PORTAL_DEMO
	set -a
	. ./.env.example
	SECRET_KEY=$$($(BIN)/python -c "import secrets; print(secrets.token_urlsafe(64))")
	SECRETS_KEY=$$($(BIN)/python -c "import secrets; print(secrets.token_urlsafe(64))")
	ATTACHMENTS_DIR=$$(mktemp -d)
	trap 'rmdir "$$ATTACHMENTS_DIR"' EXIT
	$(BIN)/python manage.py check --deploy --fail-level WARNING
	DATABASE_URL=sqlite://:memory: $(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/mypy

# The second run comes last, and both are heard before either fails the whole.
test: venv-module venv-dev services check
	failed=
	echo "== SQLite"
	PORTAL_TEST_DATABASE=sqlite $(BIN)/python -m pytest -n 2 -m "not browser" || failed="SQLite"
	echo "== PostgreSQL, Redis, SMTP, Chromium"
	missing=$$($(BIN)/python -m bnmp_portal.tests.services)
	case "$$missing" in
	    "" | nginx-light) $(BIN)/python -m pytest -n 2 || failed="$$failed PostgreSQL" ;;
	    chromium | "nginx-light chromium") $(BIN)/python -m pytest -n 2 -m "not browser" || failed="$$failed PostgreSQL" ;;
	esac
	if [ -n "$$missing" ]; then
	    echo "Não foi executado tudo: falta $$missing."
	    [ -z "$${CI:-}" ] || exit 1
	fi
	if [ -n "$$failed" ]; then echo "Falharam testes em: $$failed"; exit 1; fi

# Not in the gate: measuring doubles the time of every test.
coverage: venv-dev
	PORTAL_TEST_DATABASE=sqlite $(BIN)/python -m pytest -n 2 --cov -m "not browser"

# Without xdist: who waits for the processor would count as who waits for the portal.
faults: venv-dev services
	failed=
	export FAULTS_APPROVALS=$${FAULTS_APPROVALS:-500} FAULTS_RESETS=$${FAULTS_RESETS:-200}
	export FAULTS_TABLE=$(CURDIR)/var/faults.md
	printf '%s\n' \
	    '| database | fault | mails in flight, each time | approved + resets | mails | lost | identical copies | dead passwords | longest wait | repeated tries |' \
	    '|---|---|---|---|---|---|---|---|---|---|' > "$$FAULTS_TABLE"
	pytest="$(BIN)/python -m pytest -q -o faulthandler_timeout=1800 bnmp_portal/tests/test_faults.py"
	$$pytest || failed=PostgreSQL
	PORTAL_TEST_DATABASE=sqlite $$pytest || failed="$$failed SQLite"
	cat "$$FAULTS_TABLE"
	echo
	echo "Waits that were cut short: that of mail put off by a refusal or an absence (minutes), and the lease (four"
	echo "minutes) of mail in the hands of a worker that was gone."
	if [ -n "$$failed" ]; then echo "Falharam: $$failed"; exit 1; fi

# On a machine that does nothing else: whoever waits for the processor waits for noise.
timing: venv-dev services
	failed=
	$(BIN)/python -m benchmarks.timing --output var/timing-postgresql.md || failed=PostgreSQL
	$(BIN)/python -m benchmarks.timing --database sqlite --output var/timing-sqlite.md || failed="$$failed SQLite"
	if [ -n "$$failed" ]; then echo "Falharam: $$failed"; exit 1; fi

# Not in the gate: there each address gets a handful.
fuzz: venv-dev services
	export FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-10000}
	$(BIN)/python -m pytest -n 2 -o faulthandler_timeout=0 -p no:logging bnmp_portal/tests/test_generated_inputs.py

standards: venv
	$(BIN)/python -m bnmp_portal.standards

# Debian's Python comes without what makes a virtual environment.
venv-module:
	if ! $(PYTHON) -c "import ensurepip" 2>/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	    apt-get update -qq
	    DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends python3-venv >/dev/null
	fi

# Debian's packages that the tests need, installed where that can be done. Their services are not started.
services: venv-dev
	missing=$$($(BIN)/python -m bnmp_portal.tests.services)
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	    echo "Instalando: $$missing"
	    policy=/usr/sbin/policy-rc.d
	    if [ ! -e $$policy ]; then
	        trap 'rm -f $$policy' EXIT
	        printf '#!/bin/sh\nexit 101\n' > $$policy
	        chmod +x $$policy
	    fi
	    export DEBIAN_FRONTEND=noninteractive
	    apt-get update -qq
	    apt-get install -qq --no-install-recommends $$missing >/dev/null
	    missing=$$($(BIN)/python -m bnmp_portal.tests.services)
	fi
	if [ -n "$$missing" ]; then
	    echo "Faltam programas para os testes, e não foi possível instalá-los: $$missing" >&2
	    [ -z "$${CI:-}" ] || exit 1
	fi

clean:
	if [ -e var/running.lock ] && ! $(PYTHON) -c "import fcntl; fcntl.flock(open('var/running.lock'), fcntl.LOCK_EX | fcntl.LOCK_NB)" 2>/dev/null; then
	    echo "O portal está em execução nesta pasta. Encerre-o com Ctrl-C antes de remover var/." >&2
	    exit 1
	fi
	rm -rf var
