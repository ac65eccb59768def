#!/usr/bin/env bash
# Every check and every test: on SQLite, then those of the database again on MariaDB. The processes of one
# machine are tried on SQLite alone and those of a fleet on MariaDB alone: each where it runs in earnest.
# MariaDB is the one at 127.0.0.1:3306 (root without a password), or one that is started here.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONWARNINGS="${PYTHONWARNINGS:-}"
# One more than there are processors: many tests wait for processes of their own.
workers=${TEST_WORKERS:-$(($(nproc) + 1))}

mariadb_dir=""
said=$(mktemp -t rpa-checks-XXXXXX)
finish() {
  rm -f "$said"
  if [ -n "$mariadb_dir" ]; then
    kill "$(cat "$mariadb_dir/pid")" 2>/dev/null || true
    while [ -e "$mariadb_dir/pid" ]; do sleep 0.1; done
    rm -rf "$mariadb_dir"
  fi
}
trap finish EXIT

answers() {
  .venv/bin/python - "$1" <<'PYTHON' 2>/dev/null
import sys
import MySQLdb
MySQLdb.connect(host="127.0.0.1", port=int(sys.argv[1]), user="root", connect_timeout=2)
PYTHON
}

start_mariadb() {
  if answers 3306; then
    database_url=mysql://root@127.0.0.1:3306/rpa_platform
    return
  fi
  mariadb_dir=$(mktemp -d -t rpa-mariadb-XXXXXX)
  local owner=()
  if [ "$(id -u)" = 0 ]; then
    chown mysql "$mariadb_dir"
    owner=(--user=mysql)
  fi
  mariadb-install-db "${owner[@]}" --datadir="$mariadb_dir/data" --auth-root-authentication-method=normal \
    --skip-test-db >/dev/null
  local port
  port=$(.venv/bin/python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  mariadbd --no-defaults "${owner[@]}" --datadir="$mariadb_dir/data" --socket="$mariadb_dir/socket" \
    --pid-file="$mariadb_dir/pid" --port="$port" --bind-address=127.0.0.1 >"$mariadb_dir/log" 2>&1 &
  for _ in $(seq 100); do
    answers "$port" && break
    sleep 0.2
  done
  database_url=mysql://root@127.0.0.1:$port/rpa_platform
}

checks() {
  .venv/bin/ruff check .
  .venv/bin/ruff format --check .
  .venv/bin/mypy
  .venv/bin/lint-imports >/dev/null || .venv/bin/lint-imports
  DJANGO_SETTINGS_MODULE=tests.settings .venv/bin/python manage.py makemigrations --check --dry-run
  DJANGO_SETTINGS_MODULE=tests.settings .venv/bin/python manage.py check --deploy --fail-level ERROR
}

# `loadfile` gives each file to one worker; tests/conftest.py puts the long ones first, and they are to stay there.
spread=(-q -n "$workers" --dist loadfile --no-loadscope-reorder)

echo "== tests on an S3 server, and checks meanwhile"
(set -e; checks) >"$said" 2>&1 &
.venv/bin/python -m pytest -q tests/resources
wait $! || { cat "$said" >&2; exit 1; }
cat "$said"

echo "== tests on SQLite"
.venv/bin/python -m pytest "${spread[@]}" --ignore tests/resources --ignore tests/commands/test_runner.py "$@"

echo "== tests on MariaDB"
start_mariadb
RPA_TEST_DATABASE_URL=$database_url .venv/bin/python -m pytest "${spread[@]}" \
  --ignore tests/executions/test_processes.py tests/executions tests/tenancy tests/interop \
  tests/audit/test_chain.py tests/access/test_permissions.py tests/access/test_list_prices.py \
  tests/people/test_deeds.py tests/api/test_lists.py tests/commands/test_runner.py
