-- reason: whole rows where their type would show
SELECT array_agg(u) FROM users u

SELECT pg_typeof(u) FROM users u

SELECT sum(u) FROM users u

SELECT ARRAY[u, u] FROM users u

SELECT ROW(u, 1) FROM users u

SELECT u::users FROM users u

SELECT * FROM json_populate_record(NULL::users, '{}')

SELECT count(*) FROM jsonb_populate_recordset(NULL::public.users, '[]')

SELECT u, (SELECT u) AS again FROM users u GROUP BY u

SELECT (x.u).id FROM (SELECT u FROM users u) x

SELECT x FROM (SELECT u FROM users u) x

SELECT coalesce(u, ROW(1, 'x')) FROM users u

SELECT u FROM users u UNION SELECT ROW(1, 'x')

SELECT u = ANY (ARRAY[v]) FROM users u, users v

SELECT u.pg_typeof FROM users u

SELECT row_to_json(u) FROM users u, ROWS FROM (generate_series(1, 2), generate_series(1, 2)) f

WITH RECURSIVE r AS (SELECT u FROM users u) SELECT * FROM r

INSERT INTO orders SELECT u FROM users u

VALUES ((SELECT u FROM users u LIMIT 1))

MERGE INTO orders o USING users u ON u.id = o.id WHEN NOT MATCHED THEN INSERT VALUES (u)

CREATE TABLE made AS SELECT u FROM users u

SELECT u INTO made FROM users u

-- reason: the table's row type, which has the hidden columns
SELECT CAST(NULL AS public.users[])

SELECT * FROM json_to_record('{}') AS x (u users)

SELECT '{}'::_users

CREATE FUNCTION all_users() RETURNS SETOF users LANGUAGE sql AS 'SELECT * FROM users'

CREATE FUNCTION name_of(u users) RETURNS text LANGUAGE sql AS 'SELECT $1.full_name'

CREATE DOMAIN one_user AS users

CREATE TABLE other (u users)

PREPARE p (users) AS SELECT $1

-- reason: joins that compare by name where a name cannot be followed
SELECT count(*) FROM users NATURAL JOIN ROWS FROM (generate_series(1, 2), generate_series(1, 2)) f

-- shape: new
SELECT first_name FROM users u JOIN (SELECT 'Ada' AS first_name) s USING (first_name)

-- shape: new
SELECT j.first_name FROM users JOIN people USING (first_name) AS j

SELECT j.id FROM (users u JOIN orders o ON o.user_id = u.id) AS j (id)

-- reason: column aliases that make two names one
SELECT u.id FROM users u (age)

-- reason: statements whose text outlives the phase
CREATE VIEW v AS SELECT id FROM users

CREATE MATERIALIZED VIEW v AS SELECT id FROM users

CREATE RULE r AS ON INSERT TO users DO INSTEAD NOTHING

CREATE POLICY p ON users USING (id > 1)

-- reason: definitions that collide with the migration
DROP TABLE users

DROP TABLE IF EXISTS public.users CASCADE

ALTER TABLE users DROP COLUMN full_name

ALTER TABLE users ALTER COLUMN full_name TYPE varchar(5)

ALTER TABLE users RENAME TO people

ALTER TABLE users RENAME COLUMN full_name TO name

CREATE INDEX ON users (full_name)

CREATE INDEX ON users (lower(full_name))

CREATE TABLE copy_of (LIKE users)

CREATE TABLE child () INHERITS (users)

CREATE TRIGGER t BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()

GRANT SELECT (full_name) ON users TO postgres

ALTER TABLE users ADD COLUMN first_name text

-- reason: columns and keys that the migration rests on
ALTER TABLE IF EXISTS public.users DROP COLUMN IF EXISTS full_name

ALTER TABLE users ADD COLUMN IF NOT EXISTS last_name text

ALTER TABLE users ADD COLUMN x int, ADD COLUMN first_name text

ALTER TABLE users ADD CHECK (full_name <> first_name)

ALTER TABLE users DROP COLUMN id

ALTER TABLE users DROP COLUMN age CASCADE

ALTER TABLE users ALTER COLUMN id TYPE bigint

ALTER TABLE users DROP CONSTRAINT users_pkey

ALTER TABLE users RENAME COLUMN id TO key

ALTER TABLE users RENAME COLUMN age TO first_name

ALTER TABLE orders ADD COLUMN who text REFERENCES users (full_name)

ALTER TABLE orders ADD FOREIGN KEY (note) REFERENCES users (first_name)

CREATE TABLE child (name text REFERENCES users (full_name))

CREATE STATISTICS st ON full_name, age FROM users

-- shape: new
ANALYZE users (first_name)

-- reason: the table would be elsewhere, or have a parent or children
ALTER TABLE users SET SCHEMA information_schema

ALTER TABLE users INHERIT orders

CREATE TABLE child (more int) INHERITS (orders, users)

CREATE TABLE child PARTITION OF users DEFAULT

CREATE TABLE child (id int, LIKE users INCLUDING DEFAULTS)

DROP TABLE orders, users

DROP SCHEMA public CASCADE

ALTER SCHEMA public RENAME TO private

DROP OWNED BY postgres

-- reason: the guard would sleep, or rows be out of its sight
ALTER TABLE users DISABLE TRIGGER ALL

ALTER TABLE users DISABLE TRIGGER USER

ALTER TABLE users ENABLE TRIGGER ALL

ALTER TABLE users ENABLE ROW LEVEL SECURITY

-- reason: definitions that would freeze one shape
CREATE FUNCTION f() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM users; END

CREATE OR REPLACE TEMP VIEW v AS TABLE users

ALTER POLICY p ON users USING (true)

-- reason: pgjanus' own tables
LOCK TABLE orders, pgjanus.migrations IN ACCESS SHARE MODE

COPY pgjanus.epoch TO STDOUT

-- reason: reserved names
SELECT _pgjanus_state FROM users

SELECT u."_pgjanus_first_name" FROM users u

UPDATE users SET _pgjanus_state = 4

SELECT "_PGJANUS_state" FROM users

-- reason: a name whose owner cannot be known
-- shape: old
SELECT full_name FROM users, ROWS FROM (generate_series(1, 2), generate_series(1, 2)) f

-- reason: a name that only a hidden column answers to
-- shape: new
SELECT full_name FROM users, orders AS full_name

-- shape: new
SELECT 1 AS full_name, 2 AS full_name, count(*) FROM users GROUP BY full_name

-- reason: the alias of an outer table that an inner one hides
-- shape: old
SELECT id FROM users x WHERE EXISTS (SELECT 1 FROM orders x WHERE note = full_name)

-- shape: new
SELECT id FROM people x WHERE EXISTS (SELECT 1 FROM users x WHERE full_name = 'Plato')

-- reason: COPY that would compare or show the names that columns have in the meantime
-- shape: new
COPY users (id, first_name) FROM STDIN (FORMAT csv, HEADER MATCH)

COPY users FROM STDIN WHERE users IS NOT NULL

COPY users (id) FROM STDIN WHERE (users).id > 1

-- reason: a row assignment from a sub-select of which it is not known how many columns it has
-- shape: old
UPDATE users SET (full_name, age) = (SELECT * FROM unknown_table)

-- reason: a row as a field of a sub-select's row, in parentheses: its type would show
SELECT (s).u FROM (SELECT u, 1 AS one FROM users u) s

-- reason: a field of a row that is a sub-select's column
SELECT (s.u).id FROM (SELECT u, 1 AS one FROM users u) s

-- reason: a snapshot of another transaction may be older than the phase that this one is pinned to
SET TRANSACTION SNAPSHOT '00000003-0000001B-1'

set /* a comment */ transaction snapshot '00000003-0000001B-1'

-- reason: a * beside a merged column stands for two columns of one name, which cannot be named one by one
SELECT * FROM users JOIN (SELECT *, age FROM users) v USING (id)

-- reason: a field of the whole row before or after, which PostgreSQL 18 takes for the table's own row
-- shape: old
UPDATE users SET full_name = 'x' WHERE id = 1 RETURNING (old).full_name

DELETE FROM users WHERE id = 1 RETURNING (new).*

-- reason: an INSERT of a query without columns
INSERT INTO users SELECT

INSERT INTO users SELECT FROM orders RETURNING id
