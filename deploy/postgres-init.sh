#!/bin/sh
# Run once by the PostgreSQL image, over an empty data folder: a user and databases for Temporal, a user and a database
# for the store. Neither can read the other's.
set -eu

temporal_password=$(cat /run/secrets/temporal_password)
scenario_password=$(cat /run/secrets/scenario_password)
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username="${POSTGRES_USER:-postgres}" --dbname=postgres \
    --set=temporal_password="$temporal_password" --set=scenario_password="$scenario_password" <<'SQL'
CREATE ROLE temporal LOGIN PASSWORD :'temporal_password';
CREATE ROLE scenario LOGIN PASSWORD :'scenario_password';
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
CREATE DATABASE scenario OWNER scenario;
REVOKE CONNECT ON DATABASE temporal, temporal_visibility, scenario FROM PUBLIC;
SQL
