#!/usr/bin/env bash
# Brings a backup back into an empty database, in one transaction: all of it or nothing.
#
#   deploy/postgres/restore.sh FILE URL
#
# The roles must exist (deploy/postgres/roles.sql makes them). Keep every daemon off while you restore: what was sent after
# the backup is not in it, so the same messages are due again. Look at the provider's log from the time of the backup on,
# and pause the campaigns first where a second mail would hurt.
set -euo pipefail
if [ $# -ne 2 ]; then
    echo "usage: $0 FILE URL" >&2
    exit 2
fi
pg_restore --dbname="$2" --single-transaction --exit-on-error --no-owner "$1"
psql --dbname="$2" --no-psqlrc --quiet --command="ANALYZE"
