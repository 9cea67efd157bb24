SELECT tableoid::regclass, count(*) FROM users GROUP BY 1

SELECT * FROM users_low ORDER BY id

SELECT * FROM ONLY users

SELECT * FROM ONLY users_mid

SELECT u.*, tableoid::regclass::text FROM users_mid u ORDER BY id

-- shape: old
SELECT full_name, upper(full_name) FROM users_mid WHERE full_name LIKE '%a%' ORDER BY 1

-- shape: new
SELECT first_name, last_name FROM users_rest WHERE last_name IS NOT NULL ORDER BY 1, 2

SELECT to_jsonb(t) FROM the_rest t ORDER BY id

SELECT full_name FROM users_low

SELECT first_name FROM users_low

-- shape: old
INSERT INTO users_low VALUES (0, 'In Low', 3, 'low') RETURNING *

-- shape: new
INSERT INTO users_low VALUES (0, 3, 'low', '2026-01-01', 'In', 'Low') RETURNING *

-- shape: old
INSERT INTO users_mid (id, full_name) VALUES (77, 'Not Here')

-- shape: old
INSERT INTO users (id, full_name, age) VALUES (0, 'Low One', 1), (20, 'High One', 2), (-5, NULL, 3) RETURNING tableoid::regclass, *

-- shape: new
INSERT INTO users (id, first_name, age) VALUES (0, 'Low', 1), (20, 'High', 2) RETURNING tableoid::regclass, *

-- shape: old
UPDATE users SET id = id + 20, full_name = full_name || ' Moved' WHERE id IN (1, 5, 11) RETURNING tableoid::regclass, *

-- shape: new
UPDATE users SET id = id + 20, last_name = 'Moved' WHERE id IN (1, 5, 11) RETURNING tableoid::regclass, *

UPDATE users SET id = id + 20 WHERE id < 9 RETURNING tableoid::regclass, id

UPDATE users SET id = id + 20 WHERE id < 9 RETURNING *

UPDATE users_low SET id = id + 20

-- shape: old
UPDATE users_low SET full_name = 'x' || gen_random_uuid()::text WHERE id < 0

-- shape: old
UPDATE users_rest SET id = id + 1000, full_name = NULL RETURNING *

-- shape: new
UPDATE ONLY the_rest SET first_name = upper(first_name), age = 1 RETURNING id, first_name

-- shape: old
UPDATE ONLY users SET full_name = 'nobody is here'

DELETE FROM users_mid WHERE id = 5 RETURNING *

DELETE FROM users USING users_low l WHERE users.id = l.id + 4 RETURNING users.id, l.*

-- shape: old
INSERT INTO users (id, full_name) VALUES (1, 'Up Sert'), (50, 'In Sert') ON CONFLICT (id) DO UPDATE SET full_name = excluded.full_name RETURNING *

-- shape: new
INSERT INTO users_low (id, first_name) VALUES (1, 'Up') ON CONFLICT (id) DO UPDATE SET first_name = excluded.first_name || users_low.first_name RETURNING *

-- shape: old
INSERT INTO users (id, full_name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET id = 99, full_name = 'y'

-- shape: old
MERGE INTO users u USING (VALUES (1, 'M One'), (60, 'M Sixty')) v (id, n) ON u.id = v.id WHEN MATCHED THEN UPDATE SET full_name = v.n, age = 9 WHEN NOT MATCHED THEN INSERT (id, full_name) VALUES (v.id, v.n)

-- shape: new
MERGE INTO users_low u USING users_mid v ON u.id = v.id - 4 WHEN MATCHED AND u.id = 1 THEN DELETE WHEN MATCHED THEN UPDATE SET last_name = v.last_name

SELECT a.*, b.id FROM users_low a JOIN users_mid b ON b.id = a.id + 4 ORDER BY a.id

SELECT * FROM users_low NATURAL JOIN users

COPY users TO STDOUT

COPY users (id, age) TO STDOUT

COPY users (id, nosuch) TO STDOUT

COPY (SELECT * FROM users ORDER BY id) TO STDOUT

COPY users_mid TO STDOUT

COPY users_rest TO STDOUT

-- shape: old
-- data: 0	Copied Low	1	c0	2026-01-01 00:00:00+00
-- data: 40	Copied High	2	c40	2026-01-01 00:00:00+00
COPY users FROM STDIN

-- shape: new
-- data: 0	Copied	Low
-- data: 3000	Copied	\N
COPY users (id, first_name, last_name) FROM STDIN

-- shape: old
-- data: 0	Into One
COPY users_low (id, full_name) FROM STDIN

SELECT u FROM users u WHERE id IN (1, 5, 9) ORDER BY id

SELECT (u).age FROM users_mid u ORDER BY id FOR UPDATE

TRUNCATE users_low

TRUNCATE users

LOCK TABLE users_mid IN SHARE MODE

-- shape: old
UPDATE items SET price_cents = price_cents + 1 FROM users_low u WHERE user_id = u.id RETURNING items.*, u.id

-- shape: new
UPDATE items_0 SET price = price * 2, qty = qty + 1 RETURNING *

DROP TABLE users_mid

DROP TABLE the_rest, users_low

DROP TABLE users_rest CASCADE

CREATE TABLE users_more (LIKE orders); ALTER TABLE users_more RENAME TO users_fewer

COMMENT ON TABLE users_low IS 'low'

CREATE INDEX ON users_mid (age)

ALTER TABLE users_mid ALTER COLUMN age SET DEFAULT 5

ALTER TABLE users_mid ALTER COLUMN age SET NOT NULL

ALTER TABLE users_mid ADD COLUMN extra int

ALTER TABLE users ADD CONSTRAINT sane CHECK (age < 1000)

ANALYZE users_mid

SELECT count(*) FROM pg_attribute WHERE attrelid = 'users_low'::regclass AND attnum > 0 AND NOT attisdropped

SELECT attname FROM pg_attribute WHERE attrelid = 'users_mid'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum

SELECT column_name, is_nullable, data_type FROM information_schema.columns WHERE table_name = 'the_rest' ORDER BY 1

SELECT tgname FROM pg_trigger WHERE tgrelid = 'users_low'::regclass

SELECT inhrelid::regclass, relkind FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = 'users'::regclass ORDER BY 1

SELECT conname, contype FROM pg_constraint WHERE conrelid = 'users_low'::regclass AND contype <> 'n' ORDER BY 1

SELECT indexrelid::regclass FROM pg_index WHERE indrelid = 'users_low'::regclass
