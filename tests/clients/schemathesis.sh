#!/usr/bin/env bash
# Lets schemathesis try a running server against its own openapi.json.
#
# usage: schemathesis.sh [BASE] [options of `schemathesis run` …]      (BASE: http://127.0.0.1:8080)
#
# EXAMPLES   requests made up for each operation      (25)
# SEED       the same seed asks the same again        (1)
# WORKERS    at once                                  (2)
# API_KEY    sent as a bearer
# REPORT     a folder for a JUnit file
# EXCLUDE    paths left out: those that stop, reload or starve the server under test
#
# Presets and dictionary words that it adds stay behind: give the server a folder of its own.
set -euo pipefail

base=http://127.0.0.1:8080
if [[ ${1:-} == http* ]]; then
    base=$1
    shift
fi
case $base in
    http://127.0.0.1[:/]* | http://localhost[:/]*) ;;
    *) echo "this puts load on a server of this machine only" >&2; exit 2 ;;
esac

options=(
    --checks all
    --phases examples,coverage,fuzzing,stateful
    --max-examples "${EXAMPLES:-25}"
    --seed "${SEED:-1}"
    --generation-database none
    --workers "${WORKERS:-2}"
    --request-timeout 60
    --max-failures 50
    --continue-on-failure
    --no-color
    --exclude-path-regex "${EXCLUDE:-^/admin/(reload|memory/(policy|renew)|shutdown|stop)}"
)
[[ -z ${API_KEY:-} ]] || options+=(--header "Authorization: Bearer $API_KEY")
[[ -z ${REPORT:-} ]] || options+=(--report junit --report-dir "$REPORT")

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
command=schemathesis
for place in "$here/.venv/bin" "$here/../../.venv/bin"; do
    [[ -x $place/schemathesis ]] && command=$place/schemathesis
done
exec "$command" --config-file "$here/schemathesis.toml" run "$base/openapi.json" --url "$base" "${options[@]}" "$@"
