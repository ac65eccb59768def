#!/usr/bin/env bash
# Makes this checkout runnable: system packages, the virtual environment, translations.
# Usage: scripts/setup.sh run|test        Doing it again takes a moment.
set -euo pipefail
cd "$(dirname "$0")/.."
purpose=${1:?run or test}

required=(bubblewrap gcc libc6-dev libmariadb-dev pkg-config python3 python3-dev python3-venv util-linux libseccomp2 ca-certificates)
# A robot that drives a browser needs one; the platform does not.
wanted=(chromium fonts-dejavu-core)
if [ "$purpose" = test ]; then
  required+=(chromium curl fonts-dejavu-core gettext git mariadb-server procps redis-server)
  wanted=()
fi

missing() {
  local package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
  done
}

install_packages() {
  local policy=/usr/sbin/policy-rc.d
  # A database's package would start a server of its own; the tests start theirs.
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod +x $policy
    trap "rm -f $policy; trap - RETURN" RETURN
  fi
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >>"$log" 2>&1
}

system_packages() {
  if ! command -v dpkg-query >/dev/null; then
    echo "This is no Debian: see to it that these are there: ${required[*]}" >&2
    return
  fi
  local needed nice
  mapfile -t needed < <(missing "${required[@]}")
  mapfile -t nice < <(missing "${wanted[@]}")
  [ ${#needed[@]} -eq 0 ] && [ ${#nice[@]} -eq 0 ] && return
  if [ "$(id -u)" != 0 ]; then
    [ ${#nice[@]} -eq 0 ] || echo "Browser robots need: sudo apt-get install ${nice[*]}" >&2
    [ ${#needed[@]} -eq 0 ] && return
    echo "System packages are missing. Install them with: sudo apt-get install ${needed[*]}" >&2
    exit 1
  fi
  echo "Installing system packages: ${needed[*]} ${nice[*]}"
  apt-get update -qq >>"$log" 2>&1 || true
  if [ ${#needed[@]} -gt 0 ] && ! install_packages "${needed[@]}"; then
    tail -n 5 "$log" >&2
    echo "apt-get could not install: ${needed[*]} (see $log)" >&2
    exit 1
  fi
  if [ ${#nice[@]} -gt 0 ] && ! install_packages "${nice[@]}"; then
    echo "Not installed: ${nice[*]}. Robots that drive a browser will fail (see $log)." >&2
  fi
}

virtual_environment() {
  local requirements=requirements.txt python stamp
  [ "$purpose" = test ] && requirements=requirements-dev.txt
  stamp=".venv/.installed-$purpose"
  if [ -f "$stamp" ] && [ "$stamp" -nt requirements.txt ] && [ "$stamp" -nt requirements-dev.txt ] \
    && [ "$stamp" -nt constraints.txt ]; then
    return
  fi
  python=$(command -v /usr/bin/python3.11 || command -v python3.11 || command -v python3)
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "Python 3.11 or newer is needed; $python is older." >&2
    exit 1
  }
  echo "Installing Python packages into .venv"
  [ -x .venv/bin/python ] || "$python" -m venv .venv
  # A cache folder that belongs to somebody else would only earn a warning.
  {
    .venv/bin/python -m pip install -q --disable-pip-version-check "$(grep '^uv==' requirements.txt)"
    .venv/bin/uv pip install -q -p .venv/bin/python -c constraints.txt -r "$requirements"
  } >>"$log" 2>&1 || {
    tail -n 15 "$log" >&2
    echo "The Python packages could not be installed (see $log)." >&2
    exit 1
  }
  touch "$stamp"
}

translations() {
  local catalogue
  while IFS= read -r catalogue; do
    if [ ! "${catalogue%.po}.mo" -nt "$catalogue" ]; then
      .venv/bin/pybabel -q compile -i "$catalogue" -o "${catalogue%.po}.mo"
    fi
  done < <(find locale -name '*.po')
}

log=$(mktemp -t rpa-setup-XXXXXX.log)
trap 'status=$?; [ $status -eq 0 ] && rm -f "$log"' EXIT
system_packages
virtual_environment
translations
