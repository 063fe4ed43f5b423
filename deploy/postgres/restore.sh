#!/usr/bin/env bash
# Restore a backup to an empty database, in one transaction.
#
#   deploy/postgres/restore.sh FILE URL
#
# The roles must exist (see deploy/postgres/roles.sql). Keep every daemon stopped: messages sent after the backup are not in
# it, so they are due again. Check the provider's log from the time of the backup, and pause campaigns first where a
# second email would do harm.
set -euo pipefail
if [ $# -ne 2 ]; then
    echo "usage: $0 FILE URL" >&2
    exit 2
fi
pg_restore --dbname="$2" --single-transaction --exit-on-error --no-owner "$1"
psql --dbname="$2" --no-psqlrc --quiet --command="ANALYZE"
