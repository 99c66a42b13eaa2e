#!/bin/bash
# Make the cluster if there is none, run the scripts of its first start, then
# become the server. Anything but "postgres" is run as it is.
set -euo pipefail

if [ "${1:0:1}" = '-' ]; then
	set -- postgres "$@"
fi
if [ "$1" != postgres ]; then
	exec "$@"
fi

if [ "$(id -u)" = 0 ]; then
	mkdir -p "$PGDATA"
	chown -R postgres: "$PGDATA"
	chmod 700 "$PGDATA"
	exec gosu postgres "$0" "$@"
fi

run_scripts() {
	local script
	for script in /docker-entrypoint-initdb.d/*; do
		echo "$0: running $script"
		case $script in
		*.sh) . "$script" ;;
		*.sql) psql -q -v ON_ERROR_STOP=1 --username=postgres --dbname="${POSTGRES_DB:-postgres}" --file="$script" ;;
		*) echo "$0: ignoring $script" ;;
		esac
	done
}

if [ ! -s "$PGDATA/PG_VERSION" ]; then
	initdb --username=postgres --auth-local=trust --auth-host=scram-sha-256 --no-sync >/dev/null
	pg_ctl --silent --wait -o "-c listen_addresses='' -c fsync=off" -l /dev/null start
	[ -z "${POSTGRES_DB-}" ] || createdb --username=postgres "$POSTGRES_DB"
	run_scripts
	pg_ctl --silent --wait --mode=fast stop
fi
exec "$@"
