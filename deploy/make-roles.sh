#!/bin/sh
# Run once by the official PostgreSQL image, on an empty database: the roles of the service with their passwords.
# `paraph migrate` finds them and gives them their rights.
set -eu
psql --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" <<'SQL'
\set front `cat /run/secrets/paraph_front`
\set sam `cat /run/secrets/paraph_sam`
\set keeper `cat /run/secrets/paraph_keeper`
create role paraph_front login password :'front';
create role paraph_sam login password :'sam';
create role paraph_keeper login password :'keeper';
SQL
