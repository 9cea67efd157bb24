SELECT id FROM U&"us!0065rs" UESCAPE '!' ORDER BY U&"!0069d" UESCAPE '!'

-- shape: old
SELECT U&"!0066ull_name" UESCAPE '!', u.U&"!0066ull_name" UESCAPE '!' || 'x' FROM users U&"!0075" UESCAPE '!' ORDER BY 1

-- shape: old
SELECT (u).U&"!0066ull_name" UESCAPE '!' FROM users u ORDER BY 1

-- shape: old
INSERT INTO U&"us!0065rs" UESCAPE '!' (id, U&"full!005fname" UESCAPE '!') VALUES (80, 'q r') RETURNING *

-- shape: new
INSERT INTO users (id, U&"first!005fname" UESCAPE '!') VALUES (80, 'q') RETURNING *

-- shape: new
UPDATE users SET U&"first!005fname" UESCAPE '!' = 'q', last_name = U&'!0061' UESCAPE '!' WHERE id = 1 RETURNING *

-- shape: old
UPDATE items SET (sku, price_cents) = (SELECT 'x')

-- shape: old
UPDATE items SET (sku, price_cents) = (VALUES ('x', 1, 2))

-- shape: old
UPDATE items SET (sku, price_cents) = ('x')

-- shape: old
UPDATE items SET (sku, price_cents) = (lower('x') || 'y')

-- shape: old
UPDATE items SET (sku, price_cents) = (SELECT 'x', 'y' || 'z')

-- shape: old
UPDATE items SET (price_cents, sku) = (SELECT '1' || '2', 'a' UNION SELECT '3', 'b')

SELECT 'users'::regtype IS NULL, 'x' AS users, pg_typeof(1)::text FROM orders ORDER BY id
-- shape: old
-- params: 5 | abc
UPDATE items SET (price_cents, sku) = (SELECT $1, $2) WHERE id = 1

-- shape: old
INSERT INTO items (id, price_cents) SELECT 80, '5' UNION SELECT 81, '6'

-- shape: new
INSERT INTO items (id, price) SELECT 80, '5' || '1' UNION ALL SELECT 81, '6'

-- shape: old
INSERT INTO users (full_name) VALUES ('user ' || currval('users_id_seq')) RETURNING *

-- shape: old
INSERT INTO users (full_name, nick) VALUES ('user ' || currval('users_id_seq'), 'n' || nextval('users_id_seq')) RETURNING *

-- shape: old
INSERT INTO users (nick, full_name) VALUES ('n' || nextval('users_id_seq'), 'user ' || currval('users_id_seq')) RETURNING *

-- shape: old
INSERT INTO users (full_name) VALUES ('user ' || currval('users_id_seq')), ('user ' || lastval()) RETURNING *

-- shape: old
INSERT INTO users (full_name) SELECT 'user ' || currval('users_id_seq') FROM orders RETURNING *

-- shape: old
INSERT INTO users (id, full_name) VALUES (nextval('users_id_seq'), lastval() || ' x'), (nextval('users_id_seq'), lastval() || ' y') RETURNING *

-- shape: old
INSERT INTO users (full_name, age) VALUES (nextval('users_id_seq')::text, lastval()) RETURNING *

-- shape: old
UPDATE users SET full_name = nextval('users_id_seq') || ' x', age = currval('users_id_seq') WHERE id = 1 RETURNING *

-- shape: old
UPDATE users SET age = nextval('users_id_seq'), full_name = currval('users_id_seq') || ' x' WHERE id = 1 RETURNING *

-- shape: new
INSERT INTO users (first_name) VALUES ('user' || currval('users_id_seq')) RETURNING *

-- shape: old
UPDATE users SET (full_name) = (ROW('Ada ' || id)), age = 1 WHERE id < 3 RETURNING *

-- shape: old
UPDATE users SET (full_name, age) = (('Ada Lovelace', 2)) WHERE id < 3 RETURNING *

-- shape: old
UPDATE users SET (age, full_name) = ((ROW((3), ('Ada ' || id)))) WHERE id < 3 RETURNING *

-- shape: old
UPDATE users SET (full_name) = ((ROW((1, 2)))) WHERE id < 3 RETURNING *

-- shape: old
UPDATE users SET (full_name, age) = (((SELECT 'Ada B'), (4))) WHERE id < 3 RETURNING *
