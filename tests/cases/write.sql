-- shape: old
UPDATE users SET full_name = 'Plato Athens' WHERE id = 3

-- shape: old
-- params: Donald Knuth | 3
UPDATE users SET full_name = $1 WHERE id = $2

-- shape: old
UPDATE users SET full_name = NULL

-- shape: old
UPDATE users SET full_name = full_name || '!'

-- shape: old
UPDATE users SET full_name = upper(full_name), age = age + 1 WHERE id < 8

-- shape: old
UPDATE users u SET full_name = 'X ' || u.nick, nick = nick || 'a' WHERE full_name LIKE 'A%'

-- shape: old
UPDATE users SET age = age + 1

-- shape: old
UPDATE users SET age = 1 WHERE full_name = 'Plato'

-- shape: old
UPDATE users SET age = length(full_name)

-- shape: old
UPDATE users SET full_name = DEFAULT WHERE id = 1

-- shape: old
UPDATE users SET (full_name, age) = ('Row Assigned', 7) WHERE id = 1

-- shape: old
UPDATE users SET (full_name, age) = ROW('Row ' || id, age * 2) WHERE id < 4

-- shape: old
UPDATE users SET (full_name, age) = (SELECT note, 5 FROM orders WHERE orders.id = users.id)

-- shape: old
UPDATE users SET (full_name, age) = (SELECT note, 5 FROM orders WHERE user_id = users.id)

-- shape: old
UPDATE users SET full_name = o.note FROM orders o WHERE o.id = users.id

-- shape: old
UPDATE users SET full_name = (SELECT max(note) FROM orders o WHERE o.user_id = users.id) WHERE id < 5

-- shape: old
UPDATE users SET full_name = 'a b' WHERE id = 1 RETURNING *

-- shape: old
UPDATE users SET full_name = 'a ' || full_name WHERE id IN (1, 2, 3) RETURNING id, full_name, upper(full_name) AS u

-- shape: old
UPDATE users AS u SET full_name = full_name FROM orders o WHERE o.user_id = u.id AND o.id = 3 RETURNING u.*, o.note

-- shape: old
UPDATE users SET full_name = 5 WHERE id = 1

-- shape: old
UPDATE users SET first_name = 'x'

-- shape: old
UPDATE users SET nosuch = 'x', full_name = 'y'

-- shape: old
UPDATE items SET price_cents = price_cents + 1

-- shape: old
UPDATE items SET price_cents = 5, sku = 'Z-9', qty = qty + 1 WHERE id = 2 RETURNING *

-- shape: old
UPDATE items SET sku = 'much too long for it' WHERE id = 1

-- shape: old
-- except: new_coalesce (there neither format's NOT NULL can be in force: see docs/adr)
UPDATE items SET sku = NULL WHERE id = 1

-- shape: old
UPDATE items SET sku = DEFAULT, price_cents = DEFAULT WHERE id < 4

-- shape: old
-- params: 12 | 3
UPDATE items SET price_cents = $1 WHERE id = $2

-- shape: old
-- params: 12 | 3
UPDATE items SET price_cents = price_cents + $1 WHERE id = $2 RETURNING price_cents

-- shape: old
UPDATE items SET price_cents = 2.5 WHERE id = 1 RETURNING price_cents

-- shape: old
UPDATE items SET price_cents = qty, qty = price_cents WHERE price_cents IS NOT NULL

-- shape: old
UPDATE items SET price_cents = 'x' WHERE id = 1

-- shape: old
UPDATE items i SET price_cents = CASE WHEN sku = 'A-1' THEN 1 ELSE i.price_cents END

-- shape: old
INSERT INTO users VALUES (50, 'Fifty Cent', 40)

-- shape: old
INSERT INTO users VALUES (50, 'Fifty Cent', 40, 'fifty', '2020-01-01') RETURNING *

-- shape: old
INSERT INTO users VALUES (50, 'Fifty Cent', 40, 'fifty', '2020-01-01', 'too', 'many')

-- shape: old
INSERT INTO users (full_name) VALUES ('Default Id') RETURNING id, full_name

-- shape: old
INSERT INTO users (full_name, nick) VALUES ('One Two', 'n1'), (NULL, 'n2'), ('Three', 'n3') RETURNING *

-- shape: old
-- params: 51 | New One
INSERT INTO users (id, full_name) VALUES ($1, $2) RETURNING full_name

-- shape: old
-- params: 51 | New One | 52 | Other
INSERT INTO users (id, full_name) VALUES ($1, $2), ($3, $4)

-- shape: old
INSERT INTO users (id, full_name) VALUES (51, upper('new one')) RETURNING *

-- shape: old
INSERT INTO users (id, full_name, age) VALUES (51, 'x' || ' y', DEFAULT) RETURNING *

-- shape: old
INSERT INTO users (id, full_name) VALUES (51, upper('a b')), (52, upper('a b')) RETURNING *

-- shape: old
INSERT INTO users (id, age) VALUES (51, 3)

-- shape: old
INSERT INTO users DEFAULT VALUES RETURNING *

-- shape: old
INSERT INTO users (id, full_name) VALUES (51, DEFAULT), (52, 'q r')

-- shape: old
INSERT INTO users (id, full_name) SELECT id + 200, note FROM orders

-- shape: old
INSERT INTO users (id, full_name) SELECT id + 200, note || ' x' FROM orders ORDER BY id RETURNING *

-- shape: old
INSERT INTO users (id, full_name, nick) SELECT id + 200, full_name, 'c' || nick FROM users WHERE full_name IS NOT NULL

-- shape: old
INSERT INTO users SELECT id + 200, full_name, age FROM users

-- shape: old
INSERT INTO users (id, full_name) SELECT 70, 'const ant' RETURNING *

-- shape: old
INSERT INTO users (id, full_name) SELECT DISTINCT id + 300, 'const ant' FROM orders

-- shape: old
INSERT INTO users (id, full_name) (SELECT 70, 'a b' UNION ALL SELECT 71, NULL)

-- shape: old
-- params: 70 | par am
INSERT INTO users (id, full_name) SELECT $1, $2

-- shape: old
WITH s AS (SELECT 77 AS id, 'with it' AS n) INSERT INTO users (id, full_name) SELECT id, n FROM s RETURNING *

-- shape: old
WITH i AS (INSERT INTO users (id, full_name) VALUES (80, 'in cte') RETURNING *) SELECT * FROM i

-- shape: old
WITH u AS (UPDATE users SET full_name = 'up cte' WHERE id = 2 RETURNING id, full_name) SELECT full_name, id FROM u

-- shape: old
WITH d AS (DELETE FROM users WHERE full_name = 'Plato' RETURNING *) INSERT INTO users SELECT d.id + 500, d.full_name FROM d

-- shape: old
INSERT INTO users (id, full_name) VALUES (1, 'dup licate')

-- shape: old
INSERT INTO users (id, full_name) VALUES (1, 'up sert'), (60, 'in sert') ON CONFLICT (id) DO UPDATE SET full_name = EXCLUDED.full_name

-- shape: old
INSERT INTO users AS u (id, full_name, age) VALUES (1, 'up sert', 4) ON CONFLICT (id) DO UPDATE SET full_name = u.full_name || excluded.full_name, age = excluded.age RETURNING *

-- shape: old
INSERT INTO users (id, full_name) VALUES (1, 'up sert') ON CONFLICT DO NOTHING

-- shape: old
INSERT INTO users (id, full_name) VALUES (3, 'up sert') ON CONFLICT (id) DO UPDATE SET full_name = 'kept' WHERE users.full_name = 'Plato' RETURNING id

-- shape: old
INSERT INTO users (id, full_name) VALUES (3, 'up sert') ON CONFLICT (id) DO UPDATE SET age = 5 WHERE excluded.full_name = 'up sert' RETURNING full_name, age

-- shape: old
INSERT INTO users (full_name, nick) VALUES ('by nick', 'ada') ON CONFLICT (nick) DO UPDATE SET (full_name, age) = (excluded.full_name, 9) RETURNING id, full_name

-- shape: old
INSERT INTO users (id, full_name) VALUES (1, 'up sert') ON CONFLICT ON CONSTRAINT users_pkey DO UPDATE SET full_name = EXCLUDED.full_name

-- shape: old
INSERT INTO users (id, full_name) VALUES (1)

-- shape: old
INSERT INTO users (id, nosuch) VALUES (1, 2)

-- shape: old
INSERT INTO users (id, first_name) VALUES (1, 'x')

-- shape: old
INSERT INTO items (id) VALUES (20) RETURNING *

-- shape: old
-- except: new_coalesce (there neither format's NOT NULL can be in force: see docs/adr)
INSERT INTO items (id, sku) VALUES (20, NULL)

-- shape: old
INSERT INTO items (id, sku) VALUES (20, 'much too long for it')

-- shape: old
INSERT INTO items (id, price_cents, sku) VALUES (20, 2.5, 'x') RETURNING price_cents

-- shape: old
INSERT INTO items (id, price_cents) VALUES (20, '7'), (21, DEFAULT), (22, NULL) RETURNING *

-- shape: old
-- params: 20 | 7 | abc
INSERT INTO items (id, price_cents, sku) VALUES ($1, $2, $3) RETURNING *

-- shape: old
INSERT INTO items (id, price_cents, sku) SELECT 30 + id, age, nick FROM users WHERE id < 4

-- shape: old
INSERT INTO items (id, price_cents) SELECT 30, '12'

-- shape: old
DELETE FROM users WHERE full_name = 'Plato' RETURNING *

-- shape: old
DELETE FROM users u USING orders o WHERE o.note = u.full_name RETURNING u.full_name, o.id

DELETE FROM users WHERE id = 1

DELETE FROM users

-- shape: old
DELETE FROM users WHERE id = 3 RETURNING full_name AS gone

-- shape: new
UPDATE users SET first_name = 'Augusta' WHERE id < 4

-- shape: new
UPDATE users SET last_name = NULL WHERE first_name IS NOT NULL

-- shape: new
UPDATE users SET first_name = 'A', last_name = 'B'

-- shape: new
-- params: Zed | 2
UPDATE users SET last_name = $1 WHERE id = $2 AND first_name IS NOT NULL RETURNING *

-- shape: new
UPDATE users SET first_name = upper(first_name) WHERE id > 1 RETURNING first_name, last_name

-- shape: new
UPDATE users SET (first_name, last_name) = ('P', 'Q') WHERE id = 6

-- shape: new
UPDATE users SET full_name = 'x'

-- shape: new
UPDATE users SET age = 3 WHERE last_name = 'Turing' RETURNING *

-- shape: new
UPDATE users SET first_name = o.note FROM orders o WHERE o.id = users.id AND o.note NOT LIKE '% %' RETURNING users.*

-- shape: new
INSERT INTO users (first_name, last_name) VALUES ('Neu', 'Er') RETURNING *

-- shape: new
INSERT INTO users VALUES (60, 5, 'nick', '2020-01-01', 'Po', 'Sitional') RETURNING *

-- shape: new
INSERT INTO users (id, first_name) VALUES (61, 'Only')

-- shape: new
-- params: 62 | Par | Am
INSERT INTO users (id, first_name, last_name) VALUES ($1, $2, $3)

-- shape: new
INSERT INTO users (id, first_name, last_name) VALUES (1, 'Up', 'Sert') ON CONFLICT (id) DO UPDATE SET first_name = EXCLUDED.first_name, last_name = EXCLUDED.last_name RETURNING *

-- shape: new
INSERT INTO users (id, first_name) VALUES (63, lower('ABC')) RETURNING first_name

-- shape: new
INSERT INTO users (id, first_name, last_name) SELECT id + 100, first_name, last_name FROM users RETURNING *

-- shape: new
INSERT INTO users (id, full_name) VALUES (64, 'x')

-- shape: new
INSERT INTO items (id) VALUES (20) RETURNING *

-- shape: new
INSERT INTO items (id, price, code) VALUES (20, 1.005, 'sku:x'), (21, 2, DEFAULT), (22, NULL, 'sku:z') RETURNING *

-- shape: new
INSERT INTO items (id, code) VALUES (20, 'sku:much too long')

-- shape: new
-- except: new_coalesce (there neither format's NOT NULL can be in force: see docs/adr)
INSERT INTO items (id, code) VALUES (20, NULL)

-- shape: new
UPDATE items SET price = price * 2, qty = 1 WHERE price > 1 RETURNING *

-- shape: new
UPDATE items SET price = 3.14159 WHERE id = 1 RETURNING price

-- shape: new
UPDATE items SET price = DEFAULT, code = DEFAULT WHERE id < 3 RETURNING *

-- shape: new
-- params: 4.50 | 3
UPDATE items SET price = $1 WHERE id = $2

-- shape: new
DELETE FROM users WHERE last_name = 'Byron' RETURNING first_name
