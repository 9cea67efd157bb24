-- shape: old
MERGE INTO users u USING orders o ON o.id = u.id WHEN MATCHED THEN UPDATE SET full_name = o.note

-- shape: old
MERGE INTO users u USING orders o ON o.id = u.id WHEN MATCHED THEN UPDATE SET full_name = 'm ' || o.note || u.full_name, age = age + 1

-- shape: old
MERGE INTO users USING orders ON orders.id = users.id WHEN MATCHED THEN UPDATE SET full_name = coalesce(full_name, note, 'x y'), nick = note

-- shape: old
MERGE INTO users AS u USING (SELECT * FROM orders WHERE id > 1) AS o ON o.note = u.full_name WHEN MATCHED THEN UPDATE SET full_name = upper(u.full_name) WHEN NOT MATCHED THEN INSERT (id, full_name) VALUES (o.id + 200, o.note)

-- shape: old
MERGE INTO users u USING orders o ON o.id + 10 = u.id WHEN NOT MATCHED THEN INSERT (id, full_name, age) VALUES (o.id + 200, o.note || ' x', DEFAULT) WHEN MATCHED THEN DELETE

-- shape: old
MERGE INTO users u USING orders o ON o.id + 10 = u.id WHEN NOT MATCHED AND o.note IS NULL THEN DO NOTHING WHEN NOT MATCHED AND o.id > 3 THEN INSERT VALUES (o.id + 300, 'posi tional', 5) WHEN NOT MATCHED THEN INSERT (id, age) VALUES (o.id + 300, 1)

-- shape: old
MERGE INTO users u USING (VALUES (1, 'one'), (70, 'seventy')) AS v (id, n) ON v.id = u.id WHEN MATCHED THEN UPDATE SET full_name = v.n WHEN NOT MATCHED THEN INSERT DEFAULT VALUES

-- shape: old
MERGE INTO users u USING (VALUES (70, 'seventy'), (71, NULL)) AS v (id, n) ON v.id = u.id WHEN NOT MATCHED THEN INSERT (full_name) VALUES (DEFAULT)

-- shape: old
MERGE INTO users u USING orders o ON o.id = u.id WHEN MATCHED AND u.full_name = 'Plato' THEN UPDATE SET full_name = 'was Plato' WHEN MATCHED AND u.full_name LIKE 'A%' THEN DELETE WHEN MATCHED THEN DO NOTHING

-- shape: old
MERGE INTO users u USING orders o ON o.id = u.id WHEN MATCHED AND CASE WHEN u.full_name IS NULL THEN true ELSE o.note = full_name END THEN UPDATE SET full_name = CASE WHEN u.age > 30 THEN 'o ld' ELSE 'yo ung' END

-- shape: old
MERGE INTO users u USING orders o ON o.id = u.id WHEN MATCHED THEN UPDATE SET (full_name, age) = (o.note, 7)

-- shape: old
MERGE INTO users u USING orders o ON o.id = u.id WHEN MATCHED THEN UPDATE SET (full_name, age) = ROW (o.note || 'z', DEFAULT)

-- shape: old
MERGE INTO users u USING orders o ON o.id = u.id WHEN MATCHED THEN UPDATE SET (full_name, age) = (SELECT p.full_name, p.id FROM people p WHERE p.id = u.id)

-- shape: old
MERGE INTO users u USING orders o ON o.id = u.id WHEN MATCHED THEN UPDATE SET full_name = (SELECT p.full_name FROM people p WHERE p.id = o.id), age = 3 WHEN NOT MATCHED THEN INSERT (id) VALUES (0)

-- shape: old
MERGE INTO users u USING orders o ON o.id = u.id WHEN MATCHED AND o.id = 1 THEN UPDATE SET full_name = DEFAULT, age = DEFAULT WHEN MATCHED THEN UPDATE SET age = 1

-- shape: old
MERGE INTO users u USING orders o ON o.id = u.id WHEN MATCHED AND u.full_name > 'B' THEN UPDATE SET age = 0

-- shape: old
MERGE INTO users u USING orders o ON o.user_id = u.id WHEN MATCHED THEN UPDATE SET full_name = o.note

-- shape: old
MERGE INTO users u USING orders o ON o.id = u.id WHEN MATCHED THEN UPDATE SET first_name = o.note

-- shape: old
MERGE INTO users u USING orders o ON o.id = u.id WHEN MATCHED THEN UPDATE SET nosuch = o.note

-- shape: old
MERGE INTO users u USING orders o ON o.id = u.id WHEN NOT MATCHED THEN INSERT (id, full_name) VALUES (o.id + 200, u.full_name)

-- shape: old
MERGE INTO users u USING orders o ON o.id = u.id WHEN NOT MATCHED AND full_name = 'x' THEN INSERT (id) VALUES (o.id + 200)

-- shape: old
MERGE INTO users u USING people p ON p.id = u.id WHEN NOT MATCHED THEN INSERT (id, full_name) VALUES (p.id, full_name) WHEN MATCHED THEN UPDATE SET full_name = p.full_name || u.full_name

-- shape: old
MERGE INTO users u USING people p ON p.id = u.id WHEN MATCHED THEN UPDATE SET full_name = full_name

-- shape: old
MERGE INTO users u USING orders o ON o.id = u.id WHEN NOT MATCHED THEN INSERT (id, full_name) VALUES (o.id + 200)

-- shape: old
MERGE INTO users u USING orders o ON o.id = u.id + 4 WHEN NOT MATCHED THEN INSERT (id) VALUES (o.id + 200, 'too', 'many')

-- shape: old
MERGE INTO users u USING orders o ON o.id = u.id + 4 WHEN NOT MATCHED THEN INSERT VALUES (o.id + 200, 'a b', 3, 'ni', '2020-01-01 00:00:00+00', 'too', 'many')

-- shape: old
MERGE INTO users u USING orders o ON o.id = u.id + 4 WHEN NOT MATCHED THEN INSERT (id, first_name) VALUES (o.id + 200, 'x')

-- shape: old
MERGE INTO users u USING orders o ON o.id = u.id + 4 WHEN NOT MATCHED THEN INSERT (id, full_name) VALUES (1, 'dup licate')

-- shape: old
-- params: par am | 3
MERGE INTO users u USING orders o ON o.id = u.id WHEN MATCHED AND o.id = $2 THEN UPDATE SET full_name = $1 WHEN NOT MATCHED THEN DO NOTHING

-- shape: old
-- params: 70 | par am | 5
MERGE INTO users u USING (SELECT $1::int AS id) s ON s.id = u.id WHEN MATCHED THEN UPDATE SET full_name = $2, age = $3 WHEN NOT MATCHED THEN INSERT (id, full_name, age) VALUES (s.id, $2, $3)

-- shape: old
-- params: 1 | par am | 5
MERGE INTO users u USING (SELECT $1::int AS id) s ON s.id = u.id WHEN MATCHED THEN UPDATE SET full_name = upper($2), age = $3 WHEN NOT MATCHED THEN INSERT (id, full_name) VALUES (s.id, lower($2))

-- shape: old
WITH s AS (SELECT id, note FROM orders) MERGE INTO users u USING s ON s.id = u.id WHEN MATCHED THEN UPDATE SET full_name = s.note

-- shape: old
WITH users AS (SELECT 3 AS id, 'c te' AS full_name) MERGE INTO users u USING users s ON s.id = u.id WHEN MATCHED THEN UPDATE SET full_name = s.full_name

-- shape: old
WITH i AS (INSERT INTO users (id, full_name) VALUES (70, 'in serted') RETURNING id, full_name) MERGE INTO users u USING i ON i.id - 69 = u.id WHEN MATCHED THEN UPDATE SET full_name = i.full_name || u.full_name

-- shape: old
MERGE INTO users u USING users s ON s.id = u.id + 1 WHEN MATCHED THEN UPDATE SET full_name = s.full_name WHEN NOT MATCHED THEN INSERT (id, full_name) VALUES (s.id + 100, s.full_name)

-- shape: old
MERGE INTO users USING users s ON s.full_name = users.full_name WHEN MATCHED AND s.full_name <> 'Plato' THEN UPDATE SET full_name = s.full_name || '!' WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id + 100)

-- shape: old
MERGE INTO users u USING (SELECT id, full_name, upper(full_name) AS big FROM users) s ON s.id = u.id WHEN MATCHED THEN UPDATE SET full_name = s.big, age = length(s.full_name)

-- shape: old
MERGE INTO orders o USING users u ON u.full_name = o.note WHEN MATCHED THEN UPDATE SET note = u.full_name || '?' WHEN NOT MATCHED THEN INSERT (id, note) VALUES (u.id + 100, u.full_name)

-- shape: old
MERGE INTO orders o USING users u ON u.full_name = o.note WHEN MATCHED THEN UPDATE SET note = full_name WHEN NOT MATCHED AND full_name IS NOT NULL THEN INSERT VALUES (id + 100, 1, 1, full_name)

-- shape: old
MERGE INTO items i USING users u ON u.id = i.id WHEN MATCHED AND i.price_cents > 100 THEN UPDATE SET price_cents = i.price_cents + u.age, sku = substr(u.full_name, 1, 5) WHEN NOT MATCHED THEN INSERT (id, price_cents, sku) VALUES (u.id, u.age, u.nick)

-- shape: old
MERGE INTO items i USING users u ON u.id = i.id WHEN NOT MATCHED AND u.age IS NOT NULL THEN INSERT (id, price_cents) VALUES (u.id, 2.5)

-- shape: old
MERGE INTO items i USING users u ON u.id = i.id WHEN MATCHED THEN UPDATE SET sku = 'much too long for it'

-- shape: old
MERGE INTO items i USING users u ON u.id = i.id WHEN NOT MATCHED THEN INSERT (id, price_cents) VALUES (u.id, 'x')

-- shape: old
MERGE INTO items i USING orders o ON i.id = o.id WHEN MATCHED AND sku < 'C' THEN UPDATE SET price_cents = qty, qty = price_cents WHEN MATCHED THEN UPDATE SET sku = i.sku || '-' || o.id::text

-- shape: old
MERGE INTO items USING (SELECT 20 AS n) s ON items.id = s.n WHEN NOT MATCHED THEN INSERT (id, price_cents, sku) VALUES (s.n, DEFAULT, DEFAULT)

-- shape: old
MERGE INTO items USING (SELECT 20 AS n) s ON items.id = s.n WHEN NOT MATCHED THEN INSERT (id) OVERRIDING USER VALUE VALUES (s.n)

-- shape: old
MERGE INTO ONLY items AS i USING orders o JOIN users u ON CASE WHEN u.id = o.user_id THEN true ELSE false END ON i.id = o.id WHEN MATCHED THEN UPDATE SET sku = left(u.nick, 3)

MERGE INTO users u USING orders o ON o.id = u.id WHEN MATCHED THEN DELETE

MERGE INTO users u USING orders o ON o.id = u.id WHEN MATCHED THEN UPDATE SET age = 9 WHEN NOT MATCHED THEN INSERT (id, nick) VALUES (o.id + 100, 'n' || o.id)

MERGE INTO users u USING orders o ON o.id = u.id WHEN MATCHED AND u.ctid IS NOT NULL THEN DELETE

MERGE INTO users u USING orders u ON true WHEN MATCHED THEN DELETE

-- shape: old
EXPLAIN (COSTS OFF) MERGE INTO users u USING orders o ON o.id = u.nosuch WHEN MATCHED THEN UPDATE SET full_name = o.note

-- shape: old
MERGE INTO users u USING orders o ON o.id = u.id WHEN MATCHED THEN UPDATE SET full_name = o.note RETURNING *

-- shape: old
MERGE INTO users u USING orders o ON o.id + 1 = u.id WHEN MATCHED THEN UPDATE SET full_name = o.note WHEN NOT MATCHED THEN INSERT (id, full_name) VALUES (o.id + 100, 'i ' || o.note) RETURNING merge_action(), u.*, o.id

-- shape: old
MERGE INTO users u USING people p ON p.id = u.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id, full_name) VALUES (p.id + 100, p.full_name) RETURNING merge_action() AS did, u.full_name, p.full_name AS source, upper(u.full_name)

-- shape: old
MERGE INTO users u USING orders o ON o.id = u.id WHEN MATCHED THEN UPDATE SET full_name = o.note RETURNING old.full_name, new.full_name AS n, old.*, new.id

-- shape: old
MERGE INTO users u USING orders o ON o.id = u.id + 2 WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id, full_name) VALUES (o.id + 100, 'x y') RETURNING WITH (OLD AS before, NEW AS after) before.full_name, after.full_name

-- shape: old
MERGE INTO users u USING orders o ON o.id = u.id WHEN NOT MATCHED BY SOURCE AND u.id > 9 THEN UPDATE SET full_name = u.full_name || '?' WHEN NOT MATCHED BY SOURCE THEN DELETE WHEN MATCHED THEN DO NOTHING

-- shape: old
MERGE INTO users u USING orders o ON o.id = u.id WHEN NOT MATCHED BY SOURCE THEN UPDATE SET full_name = upper(full_name), age = length(full_name) WHEN NOT MATCHED BY TARGET THEN INSERT (id, full_name) VALUES (o.id + 100, o.note) RETURNING merge_action(), *

-- shape: old
MERGE INTO users u USING orders o ON o.id = u.id WHEN NOT MATCHED BY SOURCE THEN UPDATE SET full_name = o.note

-- shape: old
WITH m AS (MERGE INTO users u USING orders o ON o.id = u.id WHEN MATCHED THEN UPDATE SET full_name = 'm ' || o.note RETURNING u.*) SELECT full_name, id FROM m ORDER BY id

-- shape: old
WITH m AS (MERGE INTO users u USING orders o ON o.id = u.id WHEN MATCHED THEN DELETE RETURNING u.id, full_name) INSERT INTO users (id, full_name) SELECT id + 100, full_name FROM m RETURNING *

-- shape: new
MERGE INTO users u USING orders o ON o.id = u.id WHEN MATCHED THEN UPDATE SET first_name = 'n' || o.id, last_name = u.first_name

-- shape: new
MERGE INTO users u USING orders o ON o.id = u.id WHEN MATCHED THEN UPDATE SET last_name = upper(last_name) WHEN NOT MATCHED THEN INSERT (id, first_name, last_name) VALUES (o.id + 100, 'x', o.note)

-- shape: new
MERGE INTO users u USING people p ON p.first_name = u.first_name WHEN MATCHED THEN UPDATE SET first_name = p.first_name || '1' WHEN NOT MATCHED THEN INSERT (id, first_name) VALUES (id + 100, first_name)

-- shape: new
MERGE INTO users u USING people p ON p.id = u.id WHEN MATCHED AND full_name = 'Plato' THEN UPDATE SET first_name = full_name, last_name = NULL

-- shape: new
MERGE INTO users u USING people p ON p.id = u.id WHEN MATCHED THEN UPDATE SET full_name = 'x'

-- shape: new
MERGE INTO users u USING people p ON p.id = u.id WHEN NOT MATCHED THEN INSERT (id, full_name) VALUES (1, 'x')

-- shape: new
MERGE INTO users u USING people p ON p.id = u.id WHEN NOT MATCHED THEN INSERT VALUES (p.id + 100, 7, 'nick', '2020-01-01 00:00:00+00', 'Po', 'Sitional')

-- shape: new
MERGE INTO users u USING (VALUES (1), (70)) v (id) ON u.id = v.id WHEN MATCHED THEN UPDATE SET (first_name, last_name) = (SELECT p.first_name, p.full_name FROM people p WHERE p.id = u.id) WHEN NOT MATCHED THEN INSERT DEFAULT VALUES

-- shape: new
MERGE INTO users u USING (VALUES (1), (70)) v (id) ON u.id = v.id WHEN MATCHED AND u.last_name = 'Lovelace' THEN UPDATE SET first_name = (SELECT max(first_name) FROM people) WHEN NOT MATCHED THEN INSERT (first_name) VALUES ('x')

-- shape: new
MERGE INTO users u USING users s ON s.id = u.id + 1 WHEN MATCHED THEN UPDATE SET first_name = coalesce(s.first_name, 'x') || '1', last_name = s.first_name WHEN NOT MATCHED THEN INSERT (id, first_name, last_name) VALUES (s.id + 100, s.first_name, s.last_name)

-- shape: new
MERGE INTO items i USING items s ON s.id = i.id + 1 WHEN MATCHED THEN UPDATE SET price = s.price * 2, code = s.code WHEN NOT MATCHED THEN INSERT (id, price) VALUES (s.id + 100, s.price + 1.005)

-- shape: new
MERGE INTO orders o USING users u ON u.first_name = o.note WHEN MATCHED THEN UPDATE SET note = last_name WHEN NOT MATCHED AND u.last_name IS NOT NULL THEN INSERT (id, note) VALUES (u.id + 100, first_name || last_name)

-- shape: new
MERGE INTO users u USING orders o ON o.id = u.id WHEN MATCHED THEN UPDATE SET first_name = 'n' || o.id WHEN NOT MATCHED BY SOURCE THEN DELETE RETURNING merge_action(), *

-- shape: new
MERGE INTO users u USING orders o ON o.id = u.id + 1 WHEN MATCHED THEN UPDATE SET first_name = 'n' || o.id WHEN NOT MATCHED THEN INSERT (id, first_name) VALUES (o.id + 100, 'm') RETURNING old.first_name, new.*, old.last_name || 'x'

-- shape: new
-- params: 70 | Par | Am
MERGE INTO users u USING (SELECT $1::int AS id) s ON s.id = u.id WHEN MATCHED THEN UPDATE SET first_name = $2, last_name = $3 WHEN NOT MATCHED THEN INSERT (id, first_name, last_name) VALUES (s.id, $2, $3)
