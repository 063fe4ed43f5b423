#!/usr/bin/env bash
# Back up the engine's database, and optionally Dagster's, to a folder: one compressed file each, from one snapshot, while
# all processes run. Needs pg_dump of the server's version or newer.
#
#   deploy/postgres/backup.sh FOLDER ENGINE_URL [DAGSTER_URL]
#
# A file gets its final name when it is complete. Put passwords in ~/.pgpass or PGPASSWORD.
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: $0 FOLDER ENGINE_URL [DAGSTER_URL]" >&2
    exit 2
fi
folder=$1
shift
umask 077
mkdir -p "$folder"
stamp=$(date -u +%Y%m%dT%H%M%SZ)
for name in engine dagster; do
    [ $# -gt 0 ] || break
    file="$folder/$stamp-$name.dump"
    pg_dump --format=custom --file="$file.part" --dbname="$1"
    mv "$file.part" "$file"
    echo "$file"
    shift
done
