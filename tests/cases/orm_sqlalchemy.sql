-- What SQLAlchemy 2.1.9 sent, recorded on the server: ORM and Core, with psycopg 3 (parameters) and psycopg2 (literals).

-- params: 86 | 2
UPDATE users SET age=$1::INTEGER WHERE users.id = $2::INTEGER

-- params: NULL | 3
UPDATE items SET user_id=$1::INTEGER WHERE items.id = $2::INTEGER

-- params: 2
DELETE FROM users WHERE users.id = $1::INTEGER

-- params: 1 | 37
DELETE FROM users WHERE users.id = $1::INTEGER AND users.age = $2::INTEGER

-- shape: old
-- params: 3
SELECT users.id, users.full_name, users.age, users.nick, users.created FROM users WHERE users.id = $1::INTEGER

-- shape: old
-- params: Alan Kay | 80 | kay
INSERT INTO users (full_name, age, nick) VALUES ($1::VARCHAR, $2::INTEGER, $3::VARCHAR) RETURNING users.id, users.created

-- shape: old
-- params: A B | NULL | n0 | A B | NULL | n1 | A B | NULL | n2 | A B | NULL | n3
INSERT INTO users (full_name, age, nick) SELECT p0::VARCHAR, p1::INTEGER, p2::VARCHAR FROM (VALUES ($1::VARCHAR, $2::INTEGER, $3::VARCHAR, 0), ($4::VARCHAR, $5::INTEGER, $6::VARCHAR, 1), ($7::VARCHAR, $8::INTEGER, $9::VARCHAR, 2), ($10::VARCHAR, $11::INTEGER, $12::VARCHAR, 3)) AS imp_sen(p0, p1, p2, sen_counter) ORDER BY sen_counter RETURNING users.id, users.created, users.id AS id__1

-- shape: old
-- params: Ada King | 1
UPDATE users SET full_name=$1::VARCHAR WHERE users.id = $2::INTEGER

-- shape: old
-- params: 2
SELECT items.id, items.user_id, items.price_cents, items.sku, items.qty FROM items WHERE $1::INTEGER = items.user_id ORDER BY items.id

-- shape: old
-- params: 1 | 2 | 3
SELECT users.id, users.full_name, users.age, users.nick, users.created FROM users WHERE users.id IN ($1::INTEGER, $2::INTEGER, $3::INTEGER) ORDER BY users.id

-- shape: old
-- params: 50 | 1 | 0 | Q-0 | 0
INSERT INTO items (id, user_id, price_cents, sku, qty) VALUES ($1::INTEGER, $2::INTEGER, $3::INTEGER, $4::VARCHAR, $5::INTEGER)

-- shape: old
-- params: 1
SELECT users.id, users.full_name, users.age, users.nick FROM users WHERE users.id = $1::INTEGER

-- shape: old
-- params: Opti Mist | 37 | 1 | 36
UPDATE users SET full_name=$1::VARCHAR, age=$2::INTEGER WHERE users.id = $3::INTEGER AND users.age = $4::INTEGER

-- shape: old
-- params: 5 | 2
SELECT users.id, users.full_name, users.age, users.nick, users.created FROM users ORDER BY users.full_name, users.id LIMIT $1::INTEGER OFFSET $2::INTEGER

-- shape: old
-- params: G | 3 | 4
SELECT users.id, users.full_name, users.age, users.nick, users.created FROM users WHERE (users.full_name, users.id) > ($1::VARCHAR, $2::INTEGER) ORDER BY users.full_name, users.id LIMIT $3::INTEGER

-- shape: old
-- params: 30
SELECT count(*) AS count_1 FROM (SELECT users.id AS id, users.full_name AS full_name, users.age AS age, users.nick AS nick, users.created AS created FROM users WHERE users.age > $1::INTEGER) AS anon_1

-- shape: old
-- params: A%
SELECT count(*) AS count_1 FROM users WHERE users.full_name LIKE $1::VARCHAR

-- shape: old
-- params: %a%
SELECT users.id, users.full_name AS anon_name FROM users WHERE users.full_name ILIKE $1::VARCHAR ORDER BY anon_name, users.id

-- shape: old
SELECT users.id, users.full_name, users.age, users.nick, users.created FROM users WHERE users.full_name IS NULL ORDER BY users.id

-- shape: old
-- params: Plato | ada | jlp
SELECT users.id, users.full_name, users.age, users.nick, users.created FROM users WHERE users.full_name = $1::VARCHAR OR users.nick IN ($2::VARCHAR, $3::VARCHAR) ORDER BY users.id

-- shape: old
-- params: 1
SELECT users.full_name, count(users.id) AS count_1, max(users.age) AS max_1 FROM users GROUP BY users.full_name HAVING count(users.id) >= $1::INTEGER ORDER BY users.full_name

-- shape: old
SELECT DISTINCT users.full_name FROM users ORDER BY users.full_name

-- shape: old
SELECT DISTINCT ON (users.full_name) users.id, users.full_name, users.age, users.nick, users.created FROM users ORDER BY users.full_name, users.id

-- shape: old
SELECT users.id, row_number() OVER (PARTITION BY users.age ORDER BY users.full_name, users.id) AS rn FROM users ORDER BY users.id

-- shape: old
-- params: 1
SELECT anon_1.id, anon_1.n, anon_1.r FROM (SELECT users.id AS id, users.full_name AS n, rank() OVER (PARTITION BY users.age ORDER BY users.full_name) AS r FROM users) AS anon_1 WHERE anon_1.r = $1::INTEGER ORDER BY anon_1.id

-- shape: old
SELECT users.id, users.full_name, users.age, users.nick, users.created FROM users WHERE EXISTS (SELECT * FROM items WHERE items.user_id = users.id) ORDER BY users.id

-- shape: old
-- params: 100
SELECT users.id, users.full_name, users.age, users.nick, users.created FROM users WHERE NOT (EXISTS (SELECT 1 FROM items WHERE items.user_id = users.id AND items.price_cents > $1::INTEGER)) ORDER BY users.id

-- shape: old
-- params: 4
SELECT users.id, users.full_name, users.age, users.nick, users.created, items_1.id AS id_1, items_1.user_id, items_1.price_cents, items_1.sku, items_1.qty FROM users LEFT OUTER JOIN items AS items_1 ON users.id = items_1.user_id WHERE users.id < $1::INTEGER ORDER BY users.id, items_1.id

-- shape: old
-- params: 3
SELECT anon_1.id, anon_1.full_name, anon_1.age, anon_1.nick, anon_1.created, items_1.id AS id_1, items_1.user_id, items_1.price_cents, items_1.sku, items_1.qty FROM (SELECT users.id AS id, users.full_name AS full_name, users.age AS age, users.nick AS nick, users.created AS created FROM users ORDER BY users.full_name, users.id LIMIT $1::INTEGER) AS anon_1 LEFT OUTER JOIN items AS items_1 ON anon_1.id = items_1.user_id ORDER BY anon_1.full_name, anon_1.id, items_1.id

-- shape: old
-- params: 6
SELECT users.id, users.full_name, users.age, users.nick, users.created FROM users WHERE users.id < $1::INTEGER ORDER BY users.id

-- shape: old
-- params: 1 | 2 | 3 | 4 | 5
SELECT items.user_id, items.id, items.price_cents, items.sku, items.qty FROM items WHERE items.user_id IN ($1::INTEGER, $2::INTEGER, $3::INTEGER, $4::INTEGER, $5::INTEGER) ORDER BY items.id

-- shape: old
-- params: 6
SELECT items.id AS items_id, items.user_id AS items_user_id, items.price_cents AS items_price_cents, items.sku AS items_sku, items.qty AS items_qty, anon_1.users_id AS anon_1_users_id FROM (SELECT users.id AS users_id FROM users WHERE users.id < $1::INTEGER) AS anon_1 JOIN items ON anon_1.users_id = items.user_id ORDER BY items.id

-- shape: old
-- params: 0
SELECT items.id, items.user_id, items.price_cents, items.sku, items.qty, users_1.id AS id_1, users_1.full_name, users_1.age, users_1.nick, users_1.created FROM items JOIN users AS users_1 ON users_1.id = items.user_id WHERE items.price_cents > $1::INTEGER ORDER BY items.id, items.id

-- shape: old
SELECT users.id, users.full_name, users.age, users.nick, users.created, items.id AS id_1, items.user_id, items.price_cents, items.sku, items.qty FROM users JOIN items ON items.user_id = users.id ORDER BY items.id

-- shape: old
-- params: Plato
SELECT users.id, users.full_name, users.age, users.nick, users.created, orders.id AS id_1, orders.user_id, orders.total, orders.note FROM users LEFT OUTER JOIN orders ON orders.user_id = users.id WHERE users.full_name = $1::VARCHAR ORDER BY users.id

-- shape: old
SELECT users.id, users.full_name, users_1.full_name AS full_name_1 FROM users JOIN users AS users_1 ON users_1.age = users.age WHERE users.id < users_1.id ORDER BY users.id, users_1.id

-- shape: old
-- params: 1
SELECT users.id, users.full_name, top.p FROM users JOIN LATERAL (SELECT items.id AS iid, items.price_cents AS p FROM items WHERE items.user_id = users.id ORDER BY items.price_cents DESC NULLS LAST, items.id LIMIT $1::INTEGER) AS top ON true ORDER BY users.id

-- shape: old
-- params: 1
SELECT users.id, users.full_name, users.age, users.nick, users.created FROM users WHERE users.id = $1::INTEGER FOR UPDATE

-- shape: old
-- params: 2
SELECT users.id, users.full_name, users.age, users.nick, users.created FROM users WHERE users.full_name IS NOT NULL ORDER BY users.id LIMIT $1::INTEGER FOR UPDATE OF users SKIP LOCKED

-- shape: old
-- params: Plato
SELECT users.id FROM users WHERE users.full_name = $1::VARCHAR FOR SHARE NOWAIT

-- shape: old
SELECT users.id, users.full_name, users.age, users.nick, users.created FROM users WHERE users.ctid IS NOT NULL ORDER BY users.id

-- shape: old
-- params: id | n | 3
SELECT json_agg(json_build_object($1::VARCHAR, users.id, $2::VARCHAR, users.full_name) ORDER BY users.id) AS json_agg_1 FROM users WHERE users.id < $3::INTEGER

-- shape: old
SELECT array_agg(users.full_name ORDER BY users.id) AS array_agg_1 FROM users

-- shape: old
-- params: Plato | philosopher | other
SELECT CASE WHEN (users.full_name = $1::VARCHAR) THEN $2::VARCHAR ELSE $3::VARCHAR END AS kind, count(*) AS count_1 FROM users GROUP BY kind ORDER BY kind

-- shape: old
-- params: ? | !
SELECT coalesce(users.full_name, $1::VARCHAR) AS coalesce_1, lower(users.full_name) AS lower_1, CAST(users.full_name AS VARCHAR(5)) AS full_name, users.full_name || $2::VARCHAR AS anon_1 FROM users ORDER BY users.id

-- shape: old
SELECT users.full_name FROM users UNION SELECT orders.note FROM orders ORDER BY 1

-- shape: old
-- params: 3
SELECT users.full_name AS x FROM users WHERE users.id < $1::INTEGER UNION ALL SELECT orders.note AS x FROM orders ORDER BY x

-- shape: old
-- params: 40
WITH elders AS (SELECT users.id AS id, users.full_name AS n FROM users WHERE users.age > $1::INTEGER) SELECT elders.n, items.id FROM elders JOIN items ON items.user_id = elders.id ORDER BY items.id

-- shape: old
SELECT sum(items.price_cents * items.qty) AS sum_1, avg(items.price_cents) AS avg_1, min(items.sku) AS min_1 FROM items

-- shape: old
SELECT users.id, (SELECT sum(items.price_cents) AS sum_1 FROM items WHERE items.user_id = users.id) AS spent FROM users ORDER BY users.id

-- shape: old
-- params: A
SELECT count(*) AS count_1 FROM (SELECT users.id AS users_id, users.full_name AS users_full_name, users.age AS users_age, users.nick AS users_nick, users.created AS users_created FROM users WHERE (users.full_name LIKE $1::VARCHAR || '%') ORDER BY users.id) AS anon_1

-- shape: old
-- params: 36 | 1
SELECT users.id AS users_id, users.full_name AS users_full_name, users.age AS users_age, users.nick AS users_nick, users.created AS users_created FROM users WHERE users.age = $1::INTEGER ORDER BY users.id LIMIT $2::INTEGER

-- shape: old
-- params: a
SELECT EXISTS (SELECT 1 FROM users WHERE (users.full_name LIKE '%' || $1::VARCHAR || '%')) AS anon_1

-- shape: old
-- params: Elder One | 50
UPDATE users SET full_name=$1::VARCHAR WHERE users.age > $2::INTEGER RETURNING users.id, users.full_name

-- shape: old
-- params: x | 3
UPDATE users SET full_name=(users.full_name || $1::VARCHAR) WHERE users.id = $2::INTEGER

-- shape: old
-- params: 1 | One | Two | 1 | 1 | 2
UPDATE users SET full_name=CASE WHEN (users.id = $1::INTEGER) THEN $2::VARCHAR ELSE $3::VARCHAR END, age=(users.age + $4::INTEGER) WHERE users.id IN ($5::INTEGER, $6::INTEGER)

-- shape: old
UPDATE users SET age=(SELECT count(*) AS count_1 FROM items WHERE items.user_id = users.id) WHERE users.full_name IS NOT NULL

-- shape: old
-- params: 2 | Plato
UPDATE items SET price_cents=(items.price_cents * $1::INTEGER) FROM users WHERE items.user_id = users.id AND users.full_name = $2::VARCHAR RETURNING items.id

-- shape: old
-- params: 1 | Plato
UPDATE users SET age=$1::INTEGER WHERE users.full_name = $2::VARCHAR RETURNING users.id

-- shape: old
-- params: Plato
DELETE FROM users WHERE users.full_name = $1::VARCHAR

-- shape: old
DELETE FROM users USING orders WHERE users.id = orders.user_id AND orders.note = users.full_name RETURNING users.id

-- shape: old
-- params: A%
DELETE FROM users WHERE users.full_name LIKE $1::VARCHAR RETURNING users.id

-- shape: old
-- params: Core Insert | core
INSERT INTO users (full_name, nick) VALUES ($1::VARCHAR, $2::VARCHAR) RETURNING users.id

-- shape: old
-- params: M One | m1 | M Two | m2
INSERT INTO users (full_name, nick) VALUES ($1::VARCHAR, $2::VARCHAR), ($3::VARCHAR, $4::VARCHAR) RETURNING users.id, users.full_name

-- shape: old
-- params: S 0 | s0 | S 1 | s1 | S 2 | s2
INSERT INTO users (full_name, nick) SELECT p0::VARCHAR, p1::VARCHAR FROM (VALUES ($1::VARCHAR, $2::VARCHAR, 0), ($3::VARCHAR, $4::VARCHAR, 1), ($5::VARCHAR, $6::VARCHAR, 2)) AS imp_sen(p0, p1, sen_counter) ORDER BY sen_counter RETURNING users.id, users.full_name, users.age, users.nick, users.created, users.id AS id__1

-- shape: old
-- params: R 0 | r0 | R 1 | r1 | R 2 | r2
INSERT INTO users (full_name, nick) VALUES ($1::VARCHAR, $2::VARCHAR), ($3::VARCHAR, $4::VARCHAR), ($5::VARCHAR, $6::VARCHAR) RETURNING users.id

-- shape: old
-- params: 70 | 5 | B | 1
INSERT INTO items (id, price_cents, sku, qty) VALUES ($1::INTEGER, $2::INTEGER, $3::VARCHAR, $4::INTEGER)

-- shape: old
-- params: 80 | Bulk Obj
INSERT INTO users (id, full_name) VALUES ($1::INTEGER, $2::VARCHAR)

-- shape: old
-- params: 200
INSERT INTO users (id, full_name) SELECT orders.id + $1::INTEGER AS anon_1, orders.note FROM orders

-- shape: old
-- params: 1 | Up Sert | up
INSERT INTO users (id, full_name, nick) VALUES ($1::INTEGER, $2::VARCHAR, $3::VARCHAR) ON CONFLICT (id) DO UPDATE SET full_name = excluded.full_name

-- shape: old
-- params: 1 | Up Sert | up | 1
INSERT INTO users (id, full_name, nick) VALUES ($1::INTEGER, $2::VARCHAR, $3::VARCHAR) ON CONFLICT ON CONSTRAINT users_pkey DO UPDATE SET full_name = excluded.full_name, age = (users.age + $4::INTEGER) WHERE users.full_name IS NOT NULL RETURNING users.id, users.full_name

-- shape: old
-- params: 1 | Up Sert | up
INSERT INTO users (id, full_name, nick) VALUES ($1::INTEGER, $2::VARCHAR, $3::VARCHAR) ON CONFLICT DO NOTHING

-- shape: old
-- params: 1 | Up Sert | up
INSERT INTO users (id, full_name, nick) VALUES ($1::INTEGER, $2::VARCHAR, $3::VARCHAR) ON CONFLICT (nick) DO NOTHING RETURNING users.id

-- shape: old
-- params: 2 | Orm Up | Set It
INSERT INTO users (id, full_name) VALUES ($1::INTEGER, $2::VARCHAR) ON CONFLICT (id) DO UPDATE SET full_name = $3::VARCHAR RETURNING users.id, users.full_name, users.age, users.nick, users.created

-- shape: old
-- params: Plato
WITH gone AS (DELETE FROM users WHERE users.full_name = $1::VARCHAR RETURNING users.id, users.full_name) SELECT gone.id, gone.full_name FROM gone

-- shape: old
-- params: 99 | Mer New | NULL | NULL
INSERT INTO users (id, full_name, age, nick) VALUES ($1::INTEGER, $2::VARCHAR, $3::INTEGER, $4::VARCHAR) RETURNING users.created

-- shape: old
INSERT INTO users (full_name, age, nick) VALUES ('Alan Kay', 80, 'kay') RETURNING users.id, users.created

-- shape: old
INSERT INTO users (full_name, age, nick) SELECT p0::TEXT, p1::INTEGER, p2::VARCHAR FROM (VALUES ('A B', NULL, 'n0', 0), ('A B', NULL, 'n1', 1), ('A B', NULL, 'n2', 2), ('A B', NULL, 'n3', 3)) AS imp_sen(p0, p1, p2, sen_counter) ORDER BY sen_counter RETURNING users.id, users.created, users.id AS id__1

-- shape: old
INSERT INTO items (id, user_id, price_cents, sku, qty) VALUES (50, 1, 0, 'Q-0', 0), (51, 1, 100, 'Q-1', 1), (52, 1, 200, 'Q-2', 2)

-- shape: old
INSERT INTO users (full_name, nick) VALUES ('Core Insert', 'core') RETURNING users.id

-- shape: old
INSERT INTO users (full_name, nick) VALUES ('M One', 'm1'), ('M Two', 'm2') RETURNING users.id, users.full_name

-- shape: old
INSERT INTO users (full_name, nick) SELECT p0::TEXT, p1::VARCHAR FROM (VALUES ('S 0', 's0', 0), ('S 1', 's1', 1), ('S 2', 's2', 2)) AS imp_sen(p0, p1, sen_counter) ORDER BY sen_counter RETURNING users.id, users.full_name, users.age, users.nick, users.created, users.id AS id__1

-- shape: old
INSERT INTO users (full_name, nick) VALUES ('R 0', 'r0'), ('R 1', 'r1'), ('R 2', 'r2') RETURNING users.id

-- shape: old
INSERT INTO items (id, price_cents, sku, qty) VALUES (70, 5, 'B', 1), (71, 5, 'B', 1)

-- shape: old
INSERT INTO users (id, full_name) VALUES (80, 'Bulk Obj'), (81, 'Bulk Obj')

-- shape: old
INSERT INTO users (id, full_name) SELECT orders.id + 200 AS anon_1, orders.note FROM orders

-- shape: old
INSERT INTO users (id, full_name, nick) VALUES (1, 'Up Sert', 'up') ON CONFLICT (id) DO UPDATE SET full_name = excluded.full_name

-- shape: old
INSERT INTO users (id, full_name, nick) VALUES (1, 'Up Sert', 'up') ON CONFLICT ON CONSTRAINT users_pkey DO UPDATE SET full_name = excluded.full_name, age = (users.age + 1) WHERE users.full_name IS NOT NULL RETURNING users.id, users.full_name

-- shape: old
INSERT INTO users (id, full_name, nick) VALUES (1, 'Up Sert', 'up') ON CONFLICT DO NOTHING

-- shape: old
INSERT INTO users (id, full_name, nick) VALUES (1, 'Up Sert', 'up') ON CONFLICT (nick) DO NOTHING RETURNING users.id

-- shape: old
INSERT INTO users (id, full_name) VALUES (2, 'Orm Up') ON CONFLICT (id) DO UPDATE SET full_name = 'Set It' RETURNING users.id, users.full_name, users.age, users.nick, users.created

-- shape: old
INSERT INTO users (id, full_name, age, nick) VALUES (99, 'Mer New', NULL, NULL) RETURNING users.created

-- shape: new
-- params: 3
SELECT users.id, users.age, users.nick, users.created, users.first_name, users.last_name FROM users WHERE users.id = $1::INTEGER

-- shape: new
-- params: 80 | kay | Alan | Kay
INSERT INTO users (age, nick, first_name, last_name) VALUES ($1::INTEGER, $2::VARCHAR, $3::VARCHAR, $4::VARCHAR) RETURNING users.id, users.created

-- shape: new
-- params: NULL | n0 | A | B | NULL | n1 | A | B | NULL | n2 | A | B | NULL | n3 | A | B
INSERT INTO users (age, nick, first_name, last_name) SELECT p0::INTEGER, p1::VARCHAR, p2::VARCHAR, p3::VARCHAR FROM (VALUES ($1::INTEGER, $2::VARCHAR, $3::VARCHAR, $4::VARCHAR, 0), ($5::INTEGER, $6::VARCHAR, $7::VARCHAR, $8::VARCHAR, 1), ($9::INTEGER, $10::VARCHAR, $11::VARCHAR, $12::VARCHAR, 2), ($13::INTEGER, $14::VARCHAR, $15::VARCHAR, $16::VARCHAR, 3)) AS imp_sen(p0, p1, p2, p3, sen_counter) ORDER BY sen_counter RETURNING users.id, users.created, users.id AS id__1

-- shape: new
-- params: King | 1
UPDATE users SET last_name=$1::VARCHAR WHERE users.id = $2::INTEGER

-- shape: new
-- params: 2
SELECT items.id, items.user_id, items.qty, items.price, items.code FROM items WHERE $1::INTEGER = items.user_id ORDER BY items.id

-- shape: new
-- params: 1 | 2 | 3
SELECT users.id, users.age, users.nick, users.created, users.first_name, users.last_name FROM users WHERE users.id IN ($1::INTEGER, $2::INTEGER, $3::INTEGER) ORDER BY users.id

-- shape: new
-- params: X1 | Y | 1
UPDATE users SET first_name=$1::VARCHAR, last_name=$2::VARCHAR WHERE users.id = $3::INTEGER

-- shape: new
-- params: 50 | 1 | 0 | 0 | sku:Q-0
INSERT INTO items (id, user_id, qty, price, code) VALUES ($1::INTEGER, $2::INTEGER, $3::INTEGER, $4, $5::VARCHAR)

-- shape: new
-- params: 1
SELECT users.id, users.age, users.nick, users.first_name, users.last_name FROM users WHERE users.id = $1::INTEGER

-- shape: new
-- params: 37 | Opti | Mist | 1 | 36
UPDATE users SET age=$1::INTEGER, first_name=$2::VARCHAR, last_name=$3::VARCHAR WHERE users.id = $4::INTEGER AND users.age = $5::INTEGER

-- shape: new
-- params: 5 | 2
SELECT users.id, users.age, users.nick, users.created, users.first_name, users.last_name FROM users ORDER BY users.first_name, users.id LIMIT $1::INTEGER OFFSET $2::INTEGER

-- shape: new
-- params: G | 3 | 4
SELECT users.id, users.age, users.nick, users.created, users.first_name, users.last_name FROM users WHERE (users.first_name, users.id) > ($1::VARCHAR, $2::INTEGER) ORDER BY users.first_name, users.id LIMIT $3::INTEGER

-- shape: new
-- params: 30
SELECT count(*) AS count_1 FROM (SELECT users.id AS id, users.age AS age, users.nick AS nick, users.created AS created, users.first_name AS first_name, users.last_name AS last_name FROM users WHERE users.age > $1::INTEGER) AS anon_1

-- shape: new
-- params: A%
SELECT count(*) AS count_1 FROM users WHERE users.first_name LIKE $1::VARCHAR

-- shape: new
-- params: %a%
SELECT users.id, users.first_name AS anon_name FROM users WHERE users.first_name ILIKE $1::VARCHAR ORDER BY anon_name, users.id

-- shape: new
SELECT users.id, users.age, users.nick, users.created, users.first_name, users.last_name FROM users WHERE users.first_name IS NULL ORDER BY users.id

-- shape: new
-- params: Plato | ada | jlp
SELECT users.id, users.age, users.nick, users.created, users.first_name, users.last_name FROM users WHERE users.first_name = $1::VARCHAR OR users.nick IN ($2::VARCHAR, $3::VARCHAR) ORDER BY users.id

-- shape: new
-- params: 1
SELECT users.first_name, count(users.id) AS count_1, max(users.age) AS max_1 FROM users GROUP BY users.first_name HAVING count(users.id) >= $1::INTEGER ORDER BY users.first_name

-- shape: new
SELECT DISTINCT users.first_name FROM users ORDER BY users.first_name

-- shape: new
SELECT DISTINCT ON (users.first_name) users.id, users.age, users.nick, users.created, users.first_name, users.last_name FROM users ORDER BY users.first_name, users.id

-- shape: new
SELECT users.id, row_number() OVER (PARTITION BY users.age ORDER BY users.first_name, users.id) AS rn FROM users ORDER BY users.id

-- shape: new
-- params: 1
SELECT anon_1.id, anon_1.n, anon_1.r FROM (SELECT users.id AS id, users.first_name AS n, rank() OVER (PARTITION BY users.age ORDER BY users.first_name) AS r FROM users) AS anon_1 WHERE anon_1.r = $1::INTEGER ORDER BY anon_1.id

-- shape: new
SELECT users.id, users.age, users.nick, users.created, users.first_name, users.last_name FROM users WHERE EXISTS (SELECT * FROM items WHERE items.user_id = users.id) ORDER BY users.id

-- shape: new
-- params: 100
SELECT users.id, users.age, users.nick, users.created, users.first_name, users.last_name FROM users WHERE NOT (EXISTS (SELECT 1 FROM items WHERE items.user_id = users.id AND items.price > $1::INTEGER)) ORDER BY users.id

-- shape: new
-- params: 4
SELECT users.id, users.age, users.nick, users.created, users.first_name, users.last_name, items_1.id AS id_1, items_1.user_id, items_1.qty, items_1.price, items_1.code FROM users LEFT OUTER JOIN items AS items_1 ON users.id = items_1.user_id WHERE users.id < $1::INTEGER ORDER BY users.id, items_1.id

-- shape: new
-- params: 3
SELECT anon_1.id, anon_1.age, anon_1.nick, anon_1.created, anon_1.first_name, anon_1.last_name, items_1.id AS id_1, items_1.user_id, items_1.qty, items_1.price, items_1.code FROM (SELECT users.id AS id, users.age AS age, users.nick AS nick, users.created AS created, users.first_name AS first_name, users.last_name AS last_name FROM users ORDER BY users.first_name, users.id LIMIT $1::INTEGER) AS anon_1 LEFT OUTER JOIN items AS items_1 ON anon_1.id = items_1.user_id ORDER BY anon_1.first_name, anon_1.id, items_1.id

-- shape: new
-- params: 6
SELECT users.id, users.age, users.nick, users.created, users.first_name, users.last_name FROM users WHERE users.id < $1::INTEGER ORDER BY users.id

-- shape: new
-- params: 1 | 2 | 3 | 4 | 5
SELECT items.user_id, items.id, items.qty, items.price, items.code FROM items WHERE items.user_id IN ($1::INTEGER, $2::INTEGER, $3::INTEGER, $4::INTEGER, $5::INTEGER) ORDER BY items.id

-- shape: new
-- params: 6
SELECT items.id AS items_id, items.user_id AS items_user_id, items.qty AS items_qty, items.price AS items_price, items.code AS items_code, anon_1.users_id AS anon_1_users_id FROM (SELECT users.id AS users_id FROM users WHERE users.id < $1::INTEGER) AS anon_1 JOIN items ON anon_1.users_id = items.user_id ORDER BY items.id

-- shape: new
-- params: 0
SELECT items.id, items.user_id, items.qty, items.price, items.code, users_1.id AS id_1, users_1.age, users_1.nick, users_1.created, users_1.first_name, users_1.last_name FROM items JOIN users AS users_1 ON users_1.id = items.user_id WHERE items.price > $1::INTEGER ORDER BY items.id, items.id

-- shape: new
SELECT users.id, users.age, users.nick, users.created, users.first_name, users.last_name, items.id AS id_1, items.user_id, items.qty, items.price, items.code FROM users JOIN items ON items.user_id = users.id ORDER BY items.id

-- shape: new
-- params: Plato
SELECT users.id, users.age, users.nick, users.created, users.first_name, users.last_name, orders.id AS id_1, orders.user_id, orders.total, orders.note FROM users LEFT OUTER JOIN orders ON orders.user_id = users.id WHERE users.first_name = $1::VARCHAR ORDER BY users.id

-- shape: new
SELECT users.id, users.first_name, users_1.first_name AS first_name_1 FROM users JOIN users AS users_1 ON users_1.age = users.age WHERE users.id < users_1.id ORDER BY users.id, users_1.id

-- shape: new
-- params: 1
SELECT users.id, users.first_name, top.p FROM users JOIN LATERAL (SELECT items.id AS iid, items.price AS p FROM items WHERE items.user_id = users.id ORDER BY items.price DESC NULLS LAST, items.id LIMIT $1::INTEGER) AS top ON true ORDER BY users.id

-- shape: new
-- params: 1
SELECT users.id, users.age, users.nick, users.created, users.first_name, users.last_name FROM users WHERE users.id = $1::INTEGER FOR UPDATE

-- shape: new
-- params: 2
SELECT users.id, users.age, users.nick, users.created, users.first_name, users.last_name FROM users WHERE users.first_name IS NOT NULL ORDER BY users.id LIMIT $1::INTEGER FOR UPDATE OF users SKIP LOCKED

-- shape: new
-- params: Plato
SELECT users.id FROM users WHERE users.first_name = $1::VARCHAR FOR SHARE NOWAIT

-- shape: new
SELECT users.id, users.age, users.nick, users.created, users.first_name, users.last_name FROM users WHERE users.ctid IS NOT NULL ORDER BY users.id

-- shape: new
-- params: id | n | 3
SELECT json_agg(json_build_object($1::VARCHAR, users.id, $2::VARCHAR, users.first_name) ORDER BY users.id) AS json_agg_1 FROM users WHERE users.id < $3::INTEGER

-- shape: new
SELECT array_agg(users.first_name ORDER BY users.id) AS array_agg_1 FROM users

-- shape: new
-- params: Plato | philosopher | other
SELECT CASE WHEN (users.first_name = $1::VARCHAR) THEN $2::VARCHAR ELSE $3::VARCHAR END AS kind, count(*) AS count_1 FROM users GROUP BY kind ORDER BY kind

-- shape: new
-- params: ? | !
SELECT coalesce(users.first_name, $1::VARCHAR) AS coalesce_1, lower(users.first_name) AS lower_1, CAST(users.first_name AS VARCHAR(5)) AS first_name, users.first_name || $2::VARCHAR AS anon_1 FROM users ORDER BY users.id

-- shape: new
SELECT users.first_name FROM users UNION SELECT orders.note FROM orders ORDER BY 1

-- shape: new
-- params: 3
SELECT users.first_name AS x FROM users WHERE users.id < $1::INTEGER UNION ALL SELECT orders.note AS x FROM orders ORDER BY x

-- shape: new
-- params: 40
WITH elders AS (SELECT users.id AS id, users.first_name AS n FROM users WHERE users.age > $1::INTEGER) SELECT elders.n, items.id FROM elders JOIN items ON items.user_id = elders.id ORDER BY items.id

-- shape: new
SELECT sum(items.price * items.qty) AS sum_1, avg(items.price) AS avg_1, min(items.code) AS min_1 FROM items

-- shape: new
SELECT users.id, (SELECT sum(items.price) AS sum_1 FROM items WHERE items.user_id = users.id) AS spent FROM users ORDER BY users.id

-- shape: new
-- params: A
SELECT count(*) AS count_1 FROM (SELECT users.id AS users_id, users.age AS users_age, users.nick AS users_nick, users.created AS users_created, users.first_name AS users_first_name, users.last_name AS users_last_name FROM users WHERE (users.first_name LIKE $1::VARCHAR || '%') ORDER BY users.id) AS anon_1

-- shape: new
-- params: 36 | 1
SELECT users.id AS users_id, users.age AS users_age, users.nick AS users_nick, users.created AS users_created, users.first_name AS users_first_name, users.last_name AS users_last_name FROM users WHERE users.age = $1::INTEGER ORDER BY users.id LIMIT $2::INTEGER

-- shape: new
-- params: a
SELECT EXISTS (SELECT 1 FROM users WHERE (users.first_name LIKE '%' || $1::VARCHAR || '%')) AS anon_1

-- shape: new
-- params: Elder | One | 50
UPDATE users SET first_name=$1::VARCHAR, last_name=$2::VARCHAR WHERE users.age > $3::INTEGER RETURNING users.id, users.first_name

-- shape: new
-- params: x | 3
UPDATE users SET first_name=(users.first_name || $1::VARCHAR) WHERE users.id = $2::INTEGER

-- shape: new
-- params: 1 | 1 | One | Two | 1 | 2
UPDATE users SET age=(users.age + $1::INTEGER), first_name=CASE WHEN (users.id = $2::INTEGER) THEN $3::VARCHAR ELSE $4::VARCHAR END WHERE users.id IN ($5::INTEGER, $6::INTEGER)

-- shape: new
UPDATE users SET age=(SELECT count(*) AS count_1 FROM items WHERE items.user_id = users.id) WHERE users.first_name IS NOT NULL

-- shape: new
-- params: 2 | Plato
UPDATE items SET price=(items.price * $1::INTEGER) FROM users WHERE items.user_id = users.id AND users.first_name = $2::VARCHAR RETURNING items.id

-- shape: new
-- params: 1 | Plato
UPDATE users SET age=$1::INTEGER WHERE users.first_name = $2::VARCHAR RETURNING users.id

-- shape: new
-- params: Plato
DELETE FROM users WHERE users.first_name = $1::VARCHAR

-- shape: new
DELETE FROM users USING orders WHERE users.id = orders.user_id AND orders.note = users.first_name RETURNING users.id

-- shape: new
-- params: A%
DELETE FROM users WHERE users.first_name LIKE $1::VARCHAR RETURNING users.id

-- shape: new
-- params: core | Core | Insert
INSERT INTO users (nick, first_name, last_name) VALUES ($1::VARCHAR, $2::VARCHAR, $3::VARCHAR) RETURNING users.id

-- shape: new
-- params: m1 | M | One | m2 | M | Two
INSERT INTO users (nick, first_name, last_name) VALUES ($1::VARCHAR, $2::VARCHAR, $3::VARCHAR), ($4::VARCHAR, $5::VARCHAR, $6::VARCHAR) RETURNING users.id, users.first_name

-- shape: new
-- params: s0 | S | 0 | s1 | S | 1 | s2 | S | 2
INSERT INTO users (nick, first_name, last_name) SELECT p0::VARCHAR, p1::VARCHAR, p2::VARCHAR FROM (VALUES ($1::VARCHAR, $2::VARCHAR, $3::VARCHAR, 0), ($4::VARCHAR, $5::VARCHAR, $6::VARCHAR, 1), ($7::VARCHAR, $8::VARCHAR, $9::VARCHAR, 2)) AS imp_sen(p0, p1, p2, sen_counter) ORDER BY sen_counter RETURNING users.id, users.age, users.nick, users.created, users.first_name, users.last_name, users.id AS id__1

-- shape: new
-- params: r0 | R | 0 | r1 | R | 1 | r2 | R | 2
INSERT INTO users (nick, first_name, last_name) VALUES ($1::VARCHAR, $2::VARCHAR, $3::VARCHAR), ($4::VARCHAR, $5::VARCHAR, $6::VARCHAR), ($7::VARCHAR, $8::VARCHAR, $9::VARCHAR) RETURNING users.id

-- shape: new
-- params: 70 | 1 | 0.05 | sku:B
INSERT INTO items (id, qty, price, code) VALUES ($1::INTEGER, $2::INTEGER, $3, $4::VARCHAR)

-- shape: new
-- params: 80 | Bulk | Obj
INSERT INTO users (id, first_name, last_name) VALUES ($1::INTEGER, $2::VARCHAR, $3::VARCHAR)

-- shape: new
-- params: 200 |   | 
INSERT INTO users (id, first_name) SELECT orders.id + $1::INTEGER AS anon_1, replace(orders.note, $2::VARCHAR, $3::VARCHAR) AS replace_1 FROM orders

-- shape: new
-- params: 1 | up | Up | Sert
INSERT INTO users (id, nick, first_name, last_name) VALUES ($1::INTEGER, $2::VARCHAR, $3::VARCHAR, $4::VARCHAR) ON CONFLICT (id) DO UPDATE SET first_name = excluded.first_name, last_name = excluded.last_name

-- shape: new
-- params: 1 | up | Up | Sert | 1
INSERT INTO users (id, nick, first_name, last_name) VALUES ($1::INTEGER, $2::VARCHAR, $3::VARCHAR, $4::VARCHAR) ON CONFLICT ON CONSTRAINT users_pkey DO UPDATE SET age = (users.age + $5::INTEGER), first_name = excluded.first_name, last_name = excluded.last_name WHERE users.first_name IS NOT NULL RETURNING users.id, users.first_name

-- shape: new
-- params: 1 | up | Up | Sert
INSERT INTO users (id, nick, first_name, last_name) VALUES ($1::INTEGER, $2::VARCHAR, $3::VARCHAR, $4::VARCHAR) ON CONFLICT DO NOTHING

-- shape: new
-- params: 1 | up | Up | Sert
INSERT INTO users (id, nick, first_name, last_name) VALUES ($1::INTEGER, $2::VARCHAR, $3::VARCHAR, $4::VARCHAR) ON CONFLICT (nick) DO NOTHING RETURNING users.id

-- shape: new
-- params: 2 | Orm | Up | Set | It
INSERT INTO users (id, first_name, last_name) VALUES ($1::INTEGER, $2::VARCHAR, $3::VARCHAR) ON CONFLICT (id) DO UPDATE SET first_name = $4::VARCHAR, last_name = $5::VARCHAR RETURNING users.id, users.age, users.nick, users.created, users.first_name, users.last_name

-- shape: new
-- params: Plato
WITH gone AS (DELETE FROM users WHERE users.first_name = $1::VARCHAR RETURNING users.id, users.first_name) SELECT gone.id, gone.first_name FROM gone

-- shape: new
-- params: 99 | NULL | NULL | Mer | New
INSERT INTO users (id, age, nick, first_name, last_name) VALUES ($1::INTEGER, $2::INTEGER, $3::VARCHAR, $4::VARCHAR, $5::VARCHAR) RETURNING users.created

-- shape: new
INSERT INTO users (age, nick, first_name, last_name) VALUES (80, 'kay', 'Alan', 'Kay') RETURNING users.id, users.created

-- shape: new
INSERT INTO users (age, nick, first_name, last_name) SELECT p0::INTEGER, p1::VARCHAR, p2::TEXT, p3::TEXT FROM (VALUES (NULL, 'n0', 'A', 'B', 0), (NULL, 'n1', 'A', 'B', 1), (NULL, 'n2', 'A', 'B', 2), (NULL, 'n3', 'A', 'B', 3)) AS imp_sen(p0, p1, p2, p3, sen_counter) ORDER BY sen_counter RETURNING users.id, users.created, users.id AS id__1

-- shape: new
INSERT INTO items (id, user_id, qty, price, code) VALUES (50, 1, 0, 0.0, 'sku:Q-0'), (51, 1, 1, 1.0, 'sku:Q-1'), (52, 1, 2, 2.0, 'sku:Q-2')

-- shape: new
INSERT INTO users (nick, first_name, last_name) VALUES ('core', 'Core', 'Insert') RETURNING users.id

-- shape: new
INSERT INTO users (nick, first_name, last_name) VALUES ('m1', 'M', 'One'), ('m2', 'M', 'Two') RETURNING users.id, users.first_name

-- shape: new
INSERT INTO users (nick, first_name, last_name) SELECT p0::VARCHAR, p1::TEXT, p2::TEXT FROM (VALUES ('s0', 'S', '0', 0), ('s1', 'S', '1', 1), ('s2', 'S', '2', 2)) AS imp_sen(p0, p1, p2, sen_counter) ORDER BY sen_counter RETURNING users.id, users.age, users.nick, users.created, users.first_name, users.last_name, users.id AS id__1

-- shape: new
INSERT INTO users (nick, first_name, last_name) VALUES ('r0', 'R', '0'), ('r1', 'R', '1'), ('r2', 'R', '2') RETURNING users.id

-- shape: new
INSERT INTO items (id, qty, price, code) VALUES (70, 1, 0.05, 'sku:B'), (71, 1, 0.05, 'sku:B')

-- shape: new
INSERT INTO users (id, first_name, last_name) VALUES (80, 'Bulk', 'Obj'), (81, 'Bulk', 'Obj')

-- shape: new
INSERT INTO users (id, first_name) SELECT orders.id + 200 AS anon_1, replace(orders.note, ' ', '') AS replace_1 FROM orders

-- shape: new
INSERT INTO users (id, nick, first_name, last_name) VALUES (1, 'up', 'Up', 'Sert') ON CONFLICT (id) DO UPDATE SET first_name = excluded.first_name, last_name = excluded.last_name

-- shape: new
INSERT INTO users (id, nick, first_name, last_name) VALUES (1, 'up', 'Up', 'Sert') ON CONFLICT ON CONSTRAINT users_pkey DO UPDATE SET age = (users.age + 1), first_name = excluded.first_name, last_name = excluded.last_name WHERE users.first_name IS NOT NULL RETURNING users.id, users.first_name

-- shape: new
INSERT INTO users (id, nick, first_name, last_name) VALUES (1, 'up', 'Up', 'Sert') ON CONFLICT DO NOTHING

-- shape: new
INSERT INTO users (id, nick, first_name, last_name) VALUES (1, 'up', 'Up', 'Sert') ON CONFLICT (nick) DO NOTHING RETURNING users.id

-- shape: new
INSERT INTO users (id, first_name, last_name) VALUES (2, 'Orm', 'Up') ON CONFLICT (id) DO UPDATE SET first_name = 'Set', last_name = 'It' RETURNING users.id, users.age, users.nick, users.created, users.first_name, users.last_name

-- shape: new
INSERT INTO users (id, age, nick, first_name, last_name) VALUES (99, NULL, NULL, 'Mer', 'New') RETURNING users.created
