#!/bin/sh
# Makes this machine a runner of {{ url }}: TOKEN=... sh, as `manage.py runner_token` prints it.
set -eu
: "${TOKEN:?Put the token into the variable TOKEN, as the printed command does.}"
export TOKEN
folder=${RPA_FOLDER:-$HOME/rpa-runner}
if [ -e "$folder/.env" ]; then
  echo "$folder is a runner already. Start it there: .venv/bin/python manage.py runner" >&2
  exit 1
fi
for tool in curl tar make; do
  if ! command -v "$tool" >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
      apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq curl ca-certificates tar make
    else
      echo "$tool is missing. Install it with: sudo apt-get install curl ca-certificates tar make" >&2
      exit 1
    fi
  fi
done
mkdir -p "$folder"
cd "$folder"
answer=$(curl -sS -H "Authorization: Bearer $TOKEN" -o sources.tar.gz -w '%{http_code}' "{{ url }}/runners/sources.tar.gz")
if [ "$answer" != 200 ]; then
  rm -f sources.tar.gz
  case $answer in
    404) echo "The token is unknown, used or expired. Ask an operator for another one." >&2 ;;
    *) echo "{{ url }} answered $answer. Try again in a moment." >&2 ;;
  esac
  exit 1
fi
tar -xzf sources.tar.gz
rm sources.tar.gz
make setup
.venv/bin/python manage.py join "{{ url }}"
unset TOKEN
exec .venv/bin/python scripts/own_root.py .venv/bin/python manage.py runner
