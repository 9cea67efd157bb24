-- Definitions that cannot hurt a migration: they pass, and do what they do to any table. One that changes the columns is
-- in tests/system/test_definitions.py, because the proxy has to look at the catalog again after it.
ALTER TABLE users ALTER COLUMN age SET DEFAULT 7

ALTER TABLE users ALTER age SET NOT NULL

ALTER TABLE users ALTER COLUMN nick SET STATISTICS 50

ALTER TABLE users ADD CONSTRAINT adult CHECK (age > 0) NOT VALID

ALTER TABLE ONLY users ADD CHECK (age < 0)

ALTER TABLE IF EXISTS users ADD CONSTRAINT few UNIQUE (age, nick)

ALTER TABLE users DROP CONSTRAINT users_nick_key

ALTER TABLE users DROP CONSTRAINT IF EXISTS no_such

ALTER TABLE users DROP CONSTRAINT no_such

ALTER TABLE users RENAME CONSTRAINT users_nick_key TO nicks

ALTER TABLE orders ADD FOREIGN KEY (user_id) REFERENCES users

ALTER TABLE orders ADD CONSTRAINT of_user FOREIGN KEY (user_id) REFERENCES users (id) NOT VALID, ADD COLUMN more int

ALTER TABLE users SET (fillfactor = 80), ALTER COLUMN age SET STORAGE PLAIN

ALTER TABLE users OWNER TO CURRENT_USER

ALTER TABLE users REPLICA IDENTITY FULL

ALTER INDEX users_nick_key RENAME TO nicks

ALTER TABLE users_pkey RENAME TO users_key

CREATE INDEX ON users (age, nick DESC NULLS LAST) INCLUDE (created) WHERE id > 3

CREATE UNIQUE INDEX IF NOT EXISTS users_nick_key ON users (nick)

DROP INDEX no_such_index

CREATE STATISTICS st (ndistinct) ON age, nick FROM users

COMMENT ON TABLE users IS 'people'

COMMENT ON COLUMN users.age IS 'in years'

-- shape: old
COMMENT ON COLUMN public.users.full_name IS 'all of it'

-- shape: new
COMMENT ON COLUMN public.users . "first_name" IS 'żółć'

-- shape: new
COMMENT ON COLUMN users.full_name IS 'not mine'

-- shape: old
COMMENT ON COLUMN users.first_name IS 'not mine'

COMMENT ON CONSTRAINT users_pkey ON users IS 'the key'

GRANT SELECT, UPDATE ON users TO PUBLIC

REVOKE ALL ON TABLE users FROM PUBLIC

GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC

TRUNCATE users

TRUNCATE TABLE users, orders RESTART IDENTITY CASCADE

LOCK TABLE users IN SHARE MODE

LOCK users, orders

ANALYZE users

ANALYZE users (age, nick)

REINDEX TABLE users

CLUSTER users USING users_pkey

CREATE TABLE users (id int, full_name text, first_name text)

CREATE TABLE IF NOT EXISTS users (id int, full_name text, first_name text)

CREATE TABLE other (LIKE orders INCLUDING ALL)

CREATE TABLE visits (user_id int REFERENCES users (id) ON DELETE CASCADE, at date)

CREATE SCHEMA more

DROP SCHEMA public

DROP TABLE orders, people

DROP TABLE orders CASCADE

-- shape: old
ALTER TABLE users DROP COLUMN first_name

-- shape: new
ALTER TABLE users DROP COLUMN full_name

-- shape: new
ALTER TABLE users ALTER COLUMN full_name TYPE varchar

-- shape: old
ALTER TABLE users RENAME COLUMN last_name TO x

ALTER TABLE users RENAME COLUMN no_such TO x

ALTER TABLE users ADD COLUMN age int

DROP TRIGGER no_such ON users

DROP TRIGGER IF EXISTS no_such ON users

ALTER TABLE users ENABLE TRIGGER no_such
