-- shape: old
INSERT INTO users (id, full_name) VALUES (70, 'a b'), (71, 'c'), (72, NULL) ORDER BY 1 DESC LIMIT 2

-- shape: old
INSERT INTO users (id, full_name) VALUES (70, upper('a b')), (71, 'c') OFFSET 1 RETURNING *

-- shape: old
INSERT INTO users VALUES (70, 'a b', 3), (71, 'c', 4) FETCH FIRST 1 ROW ONLY

-- shape: old
INSERT INTO users (id, full_name) WITH s AS (SELECT 'with it' AS n) VALUES (70, (SELECT n FROM s)), (71, 'x')

-- shape: old
WITH s AS (SELECT 'with it' AS n) INSERT INTO users (id, full_name) VALUES (70, (SELECT n FROM s)), (71, (SELECT n FROM s)) RETURNING *

-- shape: old
INSERT INTO users (id, full_name) VALUES (70, DEFAULT) LIMIT 1

-- shape: old
INSERT INTO users (id, full_name) (VALUES (70, 'in parentheses'), (71, NULL))

-- shape: old
INSERT INTO users (VALUES (70, lower('IN parentheses')))

-- shape: old
INSERT INTO users (id, full_name) ((VALUES (70, upper('in parentheses')), (71, DEFAULT), (72, (SELECT 'q')))) RETURNING *

-- shape: old
INSERT INTO users (id, full_name) TABLE people

-- shape: old
INSERT INTO users (id, full_name) SELECT id + 100, full_name FROM people

-- shape: new
INSERT INTO users (id, first_name) VALUES (70, 'a'), (71, 'b') ORDER BY 1 LIMIT 1

-- shape: old
INSERT INTO users (id, full_name, created) VALUES (70, 'a', DEFAULT), (71, 'b' || 'c', '2020-01-01 00:00:00+00'), (72, DEFAULT, '2021-01-01 00:00:00+00')

-- shape: old
INSERT INTO users (id, full_name, age) VALUES (70, 'a', 1), (71, lower('B c'), 2.4), (DEFAULT, coalesce(NULL, 'd'), DEFAULT) RETURNING *

-- shape: old
INSERT INTO users (id, full_name) VALUES (70, (SELECT note FROM orders WHERE id = 1)), (71, (SELECT note FROM orders WHERE id = 1))

-- shape: old
-- params: 70 | pa ram | 71 | Up Per
INSERT INTO users (id, full_name) VALUES ($1, $2), ($3, upper($4)) RETURNING full_name

-- shape: old
-- params: 70 | 2 | 71 | 5
INSERT INTO items (id, price_cents) VALUES ($1, $2), ($3, $4 + 1), (72, DEFAULT), (73, '9') RETURNING *

-- shape: old
INSERT INTO items (id, price_cents, sku) VALUES (20, 2.5, 'a'), (21, 3, DEFAULT), (22, '4', left('abcdef', 3)) RETURNING *

-- shape: new
INSERT INTO items (id, price, code) VALUES (20, 1.005, 'sku:x'), (21, 2 * 3, DEFAULT), (22, DEFAULT, 'sku:' || 'z') RETURNING *

-- shape: old
INSERT INTO items (id, price_cents) VALUES (20, true)

-- shape: old
INSERT INTO items (id, price_cents) VALUES (20, 1), (21, true), (22, abs(-4))

-- shape: old
INSERT INTO users (id, full_name) VALUES (70, 5), (71, 'x' || 6), (72, true)

-- shape: old
INSERT INTO users (id, full_name) SELECT id + 100, true FROM orders

-- shape: old
INSERT INTO users (id, full_name) SELECT DISTINCT 70, 5 FROM orders

-- shape: old
INSERT INTO items (id, price_cents) SELECT DISTINCT 70, true FROM orders

-- shape: old
INSERT INTO users (id, full_name, age) SELECT * FROM (VALUES (70, 'a b', 1), (71, 'c', 2)) v

-- shape: old
INSERT INTO users (id, full_name) SELECT id + 100, upper(full_name) FROM users WHERE id < 4 UNION ALL SELECT 90, full_name FROM users WHERE id = 5

-- shape: old
INSERT INTO users (id, full_name) SELECT DISTINCT ON (age) id + 100, full_name FROM users ORDER BY age, id

-- shape: old
INSERT INTO users (id, full_name) SELECT max(id) + 100, full_name FROM users GROUP BY full_name HAVING count(*) = 1 ORDER BY 1 LIMIT 3

-- shape: old
INSERT INTO users AS u (id, full_name) OVERRIDING SYSTEM VALUE VALUES (70, 'over riding') RETURNING u.full_name

-- shape: old
INSERT INTO users (id, full_name) OVERRIDING USER VALUE SELECT 70, 'over riding' RETURNING *

-- shape: old
INSERT INTO users (full_name, full_name) VALUES ('a', 'b')

-- shape: old
UPDATE users SET full_name = 'a', full_name = 'b'

-- shape: old
UPDATE users SET (full_name, age) = (SELECT full_name, age FROM users u WHERE u.id = users.id + 1) WHERE id < 5 RETURNING id, full_name

-- shape: old
UPDATE users SET full_name = a.full_name || b.full_name FROM users a, users b WHERE a.id = users.id + 1 AND b.id = users.id + 2 AND users.id < 3 RETURNING users.full_name, a.full_name, b.full_name

-- shape: old
UPDATE users u SET full_name = x.n FROM (SELECT id, string_agg(full_name, ',' ORDER BY id) OVER () AS n FROM users) x WHERE x.id = u.id AND u.id = 1

-- shape: old
UPDATE users SET full_name = (SELECT string_agg(full_name, ' ' ORDER BY id) FROM users WHERE id < 4), age = (SELECT count(*) FROM users)

-- shape: old
UPDATE users SET age = (SELECT length(max(full_name)) FROM users u WHERE u.full_name < users.full_name) WHERE full_name IS NOT NULL

-- shape: old
UPDATE users SET full_name = (SELECT note FROM orders)

-- shape: old
UPDATE users SET (full_name, age) = (SELECT note, id FROM orders)

-- shape: old
UPDATE users SET (full_name) = ROW('one col'), (age) = (SELECT 4) WHERE id = 1

-- shape: old
UPDATE users SET (full_name, age) = (1, 2, 3)

-- shape: old
UPDATE users SET full_name = full_name WHERE ctid IN (SELECT ctid FROM users WHERE id = 4) AND id = 4 RETURNING xmax IS NOT NULL, full_name

-- shape: old
UPDATE ONLY users AS u SET full_name = 'on ly' WHERE u.id IN (SELECT id FROM users WHERE full_name LIKE 'A%') RETURNING u.id, u.*

-- shape: old
UPDATE items SET price_cents = sub.c, sku = sub.s FROM (SELECT 5 AS c, 'z' AS s) AS sub WHERE items.sku LIKE 'A%' OR items.price_cents > 900

-- shape: old
UPDATE items SET price_cents = users.age, sku = substr(users.full_name, 1, 3) FROM users WHERE users.id = items.id AND users.full_name IS NOT NULL RETURNING items.*, users.full_name

-- shape: old
UPDATE items SET price_cents = price_cents::text::int + 0.4, qty = price_cents

-- shape: old
UPDATE items SET price_cents = NULL, sku = nullif(sku, 'none') WHERE price_cents IS DISTINCT FROM 250

-- shape: old
WITH a AS (UPDATE users SET full_name = 'first ' || id WHERE id < 3 RETURNING id, full_name), b AS (INSERT INTO users (id, full_name) SELECT id + 100, full_name FROM a RETURNING *), c AS (DELETE FROM users WHERE full_name = 'Plato' RETURNING full_name) SELECT a.full_name, b.full_name, c.full_name FROM a JOIN b ON b.id = a.id + 100, c ORDER BY 1

-- shape: old
WITH a AS (UPDATE users SET full_name = 'one' WHERE id = 1), b AS (UPDATE users SET full_name = 'two' WHERE id = 2) UPDATE users SET full_name = 'three' WHERE id = 3

-- shape: old
WITH a AS (INSERT INTO users (id, full_name) VALUES (70, 'a') ON CONFLICT (id) DO UPDATE SET full_name = excluded.full_name RETURNING *) UPDATE users SET full_name = a.full_name || users.full_name FROM a WHERE users.id = 1 RETURNING users.full_name

-- shape: old
WITH gone AS (DELETE FROM users WHERE id > 6 RETURNING *), kept AS (SELECT * FROM users WHERE id < 3) INSERT INTO users (id, full_name, age) SELECT id + 200, full_name, age FROM gone UNION ALL SELECT id + 300, full_name, age FROM kept RETURNING id, full_name

-- shape: old
WITH x AS (WITH y AS (SELECT full_name FROM users WHERE id = 1) SELECT full_name || '!' AS n FROM y) UPDATE users SET full_name = x.n FROM x WHERE id = 2

-- shape: old
WITH RECURSIVE r (id, n) AS (SELECT id, full_name FROM users WHERE id = 1 UNION ALL SELECT u.id, r.n || ' ' || u.full_name FROM users u JOIN r ON u.id = r.id + 1 WHERE u.id < 4) INSERT INTO users (id, full_name) SELECT id + 100, n FROM r

-- shape: old
DELETE FROM users u USING users v, orders o WHERE v.id = u.id + 1 AND v.full_name < u.full_name AND o.id = u.id RETURNING u.full_name, v.full_name

-- shape: old
DELETE FROM users WHERE full_name = ANY (SELECT full_name FROM people)

-- shape: old
DELETE FROM users WHERE EXISTS (SELECT FROM people p WHERE p.full_name = users.full_name) RETURNING *

-- shape: old
INSERT INTO users (id, full_name) VALUES (1, 'c'), (80, 'd') ON CONFLICT (id) DO UPDATE SET (full_name, age) = (SELECT excluded.full_name || users.full_name, count(*) FROM orders) RETURNING *

-- shape: old
INSERT INTO users (id, full_name) VALUES (1, 'c'), (80, 'd') ON CONFLICT (id) DO UPDATE SET full_name = (SELECT max(full_name) FROM users u WHERE u.full_name > excluded.full_name) WHERE users.full_name <> excluded.full_name

-- shape: old
INSERT INTO users (id, full_name) SELECT id, 'again ' || full_name FROM users ON CONFLICT (id) DO UPDATE SET full_name = excluded.full_name, age = DEFAULT RETURNING id, full_name

-- shape: old
INSERT INTO users (id, full_name) VALUES (1, 'c'), (1, 'd') ON CONFLICT (id) DO UPDATE SET full_name = excluded.full_name

-- shape: old
INSERT INTO users (id, full_name) VALUES (1, 'c') ON CONFLICT (id) WHERE full_name IS NOT NULL DO UPDATE SET full_name = excluded.full_name

-- shape: old
INSERT INTO users (id, full_name) VALUES (1, 'c') ON CONFLICT (full_name) DO NOTHING

-- shape: old
INSERT INTO users (id, full_name) VALUES (1, 'c') ON CONFLICT (lower(full_name), id) DO NOTHING

-- shape: old
INSERT INTO users (id, full_name, nick) VALUES (70, 'c', 'ada') ON CONFLICT ON CONSTRAINT users_nick_key DO UPDATE SET full_name = excluded.full_name RETURNING *

-- shape: old
INSERT INTO users (id, full_name) VALUES (1, 'c') ON CONFLICT ON CONSTRAINT nosuch DO NOTHING

-- shape: old
EXPLAIN (COSTS OFF, ANALYZE, TIMING OFF, SUMMARY OFF, BUFFERS OFF) INSERT INTO users (id, full_name) VALUES (nosuch, 'x')

-- shape: new
UPDATE users SET (first_name, last_name) = (SELECT a.first_name, b.last_name FROM users a, users b WHERE a.id = 1 AND b.id = 2) WHERE id > 10 RETURNING *

-- shape: new
UPDATE users SET first_name = b.first_name FROM users b WHERE b.id = users.id + 1 AND b.last_name IS NOT NULL AND users.first_name IS NOT NULL RETURNING users.first_name, b.*

-- shape: new
WITH a AS (UPDATE users SET first_name = 'one' WHERE id = 1 RETURNING *), b AS (DELETE FROM users WHERE last_name = 'Hopper' RETURNING first_name) INSERT INTO users (id, first_name, last_name) SELECT 100, b.first_name, a.last_name FROM a, b RETURNING *

-- shape: new
INSERT INTO users (id, first_name, last_name) SELECT id, 'x', last_name FROM users WHERE first_name IS NOT NULL ON CONFLICT (id) DO UPDATE SET first_name = users.first_name || excluded.first_name WHERE users.last_name = excluded.last_name RETURNING *

-- shape: new
INSERT INTO users (id, first_name) VALUES (70, upper('a')), (71, 'b'), (72, DEFAULT)

-- shape: new
INSERT INTO items (id, price, code) SELECT id + 100, price * 2, left(code, 6) FROM items UNION SELECT 200, 7, 'sku:q'

-- shape: old
UPDATE items SET price_cents = count(*)

-- shape: old
UPDATE items SET price_cents = 1 + max(qty)

-- shape: old
UPDATE items SET price_cents = row_number() OVER ()

-- shape: old
UPDATE items SET qty = count(*)

-- shape: old
INSERT INTO items (id, price_cents) VALUES (20, count(*))

-- shape: old
INSERT INTO items (id, price_cents) VALUES (20, sum(4)), (21, 3)

-- shape: old
INSERT INTO items (id, price_cents) VALUES (generate_series(20, 22), generate_series(1, 2))

-- shape: old
INSERT INTO items (id, price_cents) VALUES (generate_series(20, 22), 5) RETURNING *

-- shape: old
UPDATE items SET price_cents = (SELECT count(*) FROM users WHERE users.id > items.id)

-- shape: old
-- params: 3 | x
UPDATE items SET price_cents = price_cents + $1, sku = sku || $2, qty = $1 WHERE id = 2

-- shape: old
-- params: x | 3
UPDATE users SET full_name = full_name || $1, nick = $1, age = $2 WHERE id = 2

-- shape: old
INSERT INTO items (id, price_cents) VALUES (20, lower('X'))

-- shape: old
INSERT INTO items (id, sku, price_cents) SELECT 20, 'a', 'b' || 'c' UNION ALL SELECT 21, 'd', 'e'
