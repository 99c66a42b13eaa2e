psql -q --username=postgres --dbname="${POSTGRES_DB:-postgres}" <<END
INSERT INTO facts VALUES ('initialised by', '$(id -un)');
END
