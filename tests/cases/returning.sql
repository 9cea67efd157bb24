-- RETURNING old and new of PostgreSQL 18, merge_action(), and chains of statements that write.

-- shape: old
WITH del AS (DELETE FROM items WHERE id = 1 RETURNING *), ins AS (INSERT INTO items (id, user_id, price_cents, sku, qty) SELECT id + 500, user_id, price_cents, sku || 'x', qty FROM del RETURNING id, sku), up AS (UPDATE users SET full_name = full_name || ' ' || ins.sku FROM ins WHERE users.id = 1 RETURNING users.*) SELECT * FROM up, ins

-- shape: new
WITH del AS (DELETE FROM items WHERE id = 1 RETURNING *), ins AS (INSERT INTO items (id, user_id, price, code, qty) SELECT id + 500, user_id, price, code || 'x', qty FROM del RETURNING id, code), up AS (UPDATE users SET last_name = ins.code FROM ins WHERE users.id = 1 RETURNING users.*) SELECT * FROM up, ins

-- shape: old
UPDATE users SET full_name = 'New Name' WHERE id = 1 RETURNING old.full_name, new.full_name, old.*, new.id

-- shape: new
UPDATE users SET first_name = 'New' WHERE id = 1 RETURNING old.first_name, new.first_name, old.last_name = new.last_name, *

-- shape: old
INSERT INTO users (id, full_name) VALUES (1, 'X Y') ON CONFLICT (id) DO UPDATE SET full_name = excluded.full_name RETURNING old.full_name AS was, new.full_name AS is, old IS NULL

-- shape: old
DELETE FROM users WHERE id = 1 RETURNING WITH (OLD AS o, NEW AS n) o.full_name, n.full_name, n.*

-- shape: old
MERGE INTO users u USING (VALUES (1, 'A B'), (900, 'C D')) v (id, n) ON u.id = v.id WHEN MATCHED THEN UPDATE SET full_name = v.n WHEN NOT MATCHED THEN INSERT (id, full_name) VALUES (v.id, v.n) RETURNING merge_action(), u.*, v.n

-- shape: old
MERGE INTO users u USING (VALUES (1, 'A B'), (900, 'C D')) v (id, n) ON u.id = v.id WHEN MATCHED THEN UPDATE SET full_name = v.n WHEN NOT MATCHED THEN INSERT (id, full_name) VALUES (v.id, v.n) RETURNING merge_action() AS a, old.full_name, new.full_name

-- shape: new
MERGE INTO users u USING (VALUES (1, 'A'), (900, 'C')) v (id, n) ON u.id = v.id WHEN MATCHED AND u.first_name <> v.n THEN UPDATE SET first_name = v.n WHEN NOT MATCHED THEN INSERT (id, first_name) VALUES (v.id, v.n) WHEN NOT MATCHED BY SOURCE AND u.id = 3 THEN DELETE RETURNING merge_action(), old.first_name, new.*

-- shape: old
WITH m AS (MERGE INTO users u USING (VALUES (1, 'A B')) v (id, n) ON u.id = v.id WHEN MATCHED THEN UPDATE SET full_name = v.n RETURNING merge_action() AS act, u.full_name) SELECT * FROM m

-- shape: old
INSERT INTO users (id, full_name, nick) VALUES (1, 'A B', 'n1'), (2, 'C D', 'n2'), (500, 'E F', 'n3') ON CONFLICT (id) DO UPDATE SET full_name = CASE WHEN users.full_name = excluded.full_name THEN users.full_name ELSE excluded.full_name || '!' END, nick = excluded.nick WHERE users.full_name IS DISTINCT FROM excluded.full_name RETURNING id, full_name, (xmax = 0) AS inserted

-- shape: old
SELECT JSON_VALUE(to_jsonb(u), '$.full_name'), JSON_EXISTS(to_jsonb(u), '$.nick'), JSON_QUERY(to_jsonb(u), '$.age' RETURNING text) FROM users u ORDER BY u.id

-- shape: old
COPY (UPDATE users SET full_name = 'a b' WHERE id = 1 RETURNING *) TO STDOUT

-- shape: old
DELETE FROM items i USING users u WHERE u.id = i.user_id AND u.full_name LIKE 'Ada%' RETURNING u.full_name, i.sku

-- shape: old
UPDATE items SET price_cents = price_cents * 2, sku = sku || qty WHERE price_cents BETWEEN 100 AND 1000 AND sku >= 'A' RETURNING id, price_cents, sku

-- shape: old
UPDATE users SET full_name = 'New Name' WHERE id = 1 RETURNING old

-- shape: old
UPDATE users SET full_name = 'New Name' WHERE id = 1 RETURNING old::text, to_jsonb(old), to_jsonb(new), row_to_json(old.*)

-- shape: old
UPDATE users SET full_name = 'New Name' WHERE id = 1 RETURNING (old.full_name), lower(old.full_name), old.full_name || new.full_name, (SELECT old.full_name), (SELECT count(*) FROM users u WHERE u.full_name < old.full_name)

-- shape: old
UPDATE users SET full_name = 'New Name' WHERE id = 1 RETURNING old.ctid = new.ctid, old.tableoid = tableoid, old IS DISTINCT FROM new

-- shape: old
UPDATE users SET full_name = 'New Name' WHERE id = 1 RETURNING old.first_name

-- shape: old
DELETE FROM users WHERE id = 1 RETURNING old.full_name, new.full_name, users.full_name, new

-- shape: old
UPDATE users old SET full_name = 'New Name' WHERE id = 1 RETURNING old.full_name, new.full_name

-- shape: old
UPDATE users SET full_name = o.note FROM orders o WHERE o.id = users.id RETURNING old.full_name, o.note, new.full_name, *

-- shape: old
UPDATE users SET full_name = 'a b' FROM (SELECT 1 AS k) old WHERE id = 1 RETURNING old.k, new.full_name

-- shape: old
INSERT INTO users (id, full_name) VALUES (300, 'A B') RETURNING old.full_name, new.full_name, old.id, new.age, coalesce(old.full_name, new.full_name)

-- shape: old
INSERT INTO users SELECT id + 300, full_name FROM users RETURNING WITH (NEW AS n) n.*, n.full_name

-- shape: new
INSERT INTO users (id, first_name) SELECT id + 300, 'x' FROM users RETURNING WITH (NEW AS n, OLD AS o) n.*, o.*, n.first_name, o.last_name

-- shape: old
UPDATE users SET full_name = DEFAULT, nick = DEFAULT WHERE id = 3 RETURNING *

-- shape: old
UPDATE users SET full_name = full_name || (SELECT ' ' || max(sku) FROM items i WHERE i.user_id = users.id) WHERE EXISTS (SELECT FROM items i WHERE i.user_id = users.id AND i.price_cents > 5) RETURNING full_name

-- shape: old
WITH t AS (INSERT INTO users (id, full_name) SELECT g, 'bulk ' || g FROM generate_series(200, 203) g RETURNING *) SELECT count(*), max(full_name), (SELECT count(*) FROM users) FROM t

-- shape: old
WITH x AS (UPDATE users SET full_name = 'x y' WHERE id = 1 RETURNING id, full_name), y AS (UPDATE items SET sku = 'q' FROM x WHERE items.user_id = x.id RETURNING items.*) INSERT INTO orders (id, user_id, note) SELECT 900 + y.id, x.id, x.full_name || y.sku FROM x, y RETURNING *

-- shape: old
INSERT INTO users (id, full_name) (WITH w AS (SELECT 400 AS i, 'c te' AS n) SELECT i, n FROM w) ON CONFLICT DO NOTHING RETURNING *

-- shape: old
WITH w AS (SELECT 400 AS i, 'c te' AS n) INSERT INTO users (id, full_name) SELECT i, n FROM w UNION ALL TABLE w ON CONFLICT (id) DO NOTHING RETURNING *

-- shape: old
INSERT INTO users DEFAULT VALUES RETURNING *

-- shape: old
INSERT INTO users AS tgt (id, full_name, age) VALUES (1, 'a b', 9) ON CONFLICT ON CONSTRAINT users_pkey DO UPDATE SET (full_name, age) = (SELECT excluded.full_name || tgt.full_name, tgt.age + excluded.age) WHERE tgt.full_name <> excluded.full_name RETURNING tgt.*, tgt

-- shape: old
DELETE FROM users WHERE id = 1 RETURNING (old.full_name), (new.full_name), ROW(old.*)::text, ROW(new.*)::text, to_jsonb(ROW(new.*)), (old.*)::text, (old)::text

-- shape: old
UPDATE users SET full_name = 'New Name' WHERE id = 1 RETURNING old.*, new.*, jsonb_build_object('old', old, 'new', new)

-- shape: old
UPDATE users SET full_name = 'New Name' WHERE id = 1 RETURNING (SELECT (SELECT old.full_name || x.full_name FROM users x WHERE x.id = old.id))

-- shape: old
UPDATE users SET full_name = 'New Name' WHERE id = 1 RETURNING (SELECT to_jsonb(old))

-- shape: old
UPDATE users SET full_name = 'New Name' WHERE id = 1 RETURNING (SELECT v.full_name FROM (SELECT old.*) v), (SELECT v FROM (SELECT (SELECT new.full_name)) v(v))

-- shape: old
MERGE INTO users u USING (VALUES (1, 'A B')) v (id, n) ON u.id = v.id WHEN MATCHED THEN UPDATE SET full_name = v.n RETURNING WITH (OLD AS before, NEW AS after) before.full_name, after.*, to_jsonb(before)

-- shape: old
INSERT INTO users (id, full_name) VALUES (1, 'A B') ON CONFLICT (id) DO UPDATE SET full_name = excluded.full_name RETURNING CASE WHEN old.id IS NULL THEN 'inserted' ELSE 'updated' END, old.full_name IS DISTINCT FROM new.full_name, to_jsonb(old) - 'id'

UPDATE orders SET note = 'x' RETURNING (old).note, (old).*

-- shape: old
WITH RECURSIVE a (n) AS (SELECT 1 UNION SELECT n FROM b), b (n) AS (SELECT 2 UNION SELECT n FROM a) INSERT INTO users (id, full_name) VALUES (201, 'x y'), (202, (SELECT 'q' || random()))

-- shape: old
WITH RECURSIVE a (n) AS (SELECT 1 UNION SELECT n + 1 FROM a WHERE n < 3) INSERT INTO users (id, full_name) VALUES (201, 'x y'), (202, (SELECT min('q' || note) FROM orders)), (203, (SELECT max('a ' || n) FROM a)) RETURNING *

-- shape: old
WITH RECURSIVE a (n) AS (SELECT 1 UNION SELECT n FROM b), b (n) AS (SELECT 2 UNION SELECT n FROM a) INSERT INTO users (id, full_name) VALUES (201, 'x y'), (202, (SELECT min('q' || n) FROM a)), (203, (SELECT max('a ' || n) FROM b)) RETURNING *

-- shape: old
WITH RECURSIVE a (n) AS (SELECT 1 UNION SELECT n FROM a) INSERT INTO users (id, full_name) VALUES (201, 'x y'), (202, (SELECT min('q' || full_name) FROM users)) RETURNING *
