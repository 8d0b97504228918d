-- A user for Grafana that may read the projection and nothing else. Run as the owner of its tables:
--   psql -v reader=slopewatch_grafana -f reader.sql projection
-- then give the user a password with \password slopewatch_grafana.
CREATE ROLE :"reader" LOGIN;
GRANT USAGE ON SCHEMA public TO :"reader";
GRANT SELECT ON ALL TABLES IN SCHEMA public TO :"reader";
-- A projection that is built anew makes its tables anew.
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO :"reader";
