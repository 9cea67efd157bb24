-- shape: old
UPDATE users SET full_name = 'a b' WHERE id = 1 RETURNING old.full_name, new.full_name AS n, old.*

-- shape: new
UPDATE users SET first_name = 'a' WHERE id < 4 RETURNING old.first_name, new.*

-- shape: old
INSERT INTO users (id, full_name) VALUES (90, 'x y') RETURNING WITH (OLD AS o, NEW AS n) o.full_name, n.full_name

-- shape: old
WITH users AS (SELECT 1 AS id) UPDATE users SET full_name = 'x y' WHERE users.id = 1 RETURNING users.full_name

-- shape: old
UPDATE users SET full_name = u2.full_name FROM users u2 WHERE u2.id = users.id + 1 RETURNING users.id, users.full_name, u2.full_name

-- shape: old
DELETE FROM users USING users u2 WHERE u2.id = users.id + 1 AND u2.full_name LIKE 'P%' RETURNING users.full_name, u2.full_name

SELECT (SELECT first_name FROM people p2 WHERE p2.id = people.id) FROM people ORDER BY id

-- shape: new
SELECT (SELECT full_name FROM users WHERE users.id = people.id) FROM people ORDER BY people.id

-- shape: new
SELECT id FROM people WHERE EXISTS (SELECT 1 FROM users WHERE full_name = 'Plato') ORDER BY id

-- shape: old
SELECT (SELECT first_name FROM users WHERE users.id = people.id) FROM people ORDER BY people.id

-- shape: old
SELECT full_name FROM users, people

-- shape: new
SELECT first_name FROM users, people

-- shape: new
SELECT full_name FROM users, people WHERE users.id = people.id ORDER BY 1

-- shape: old
SELECT users.full_name, people.full_name FROM users JOIN people USING (id) ORDER BY 1

-- shape: old
SELECT full_name, count(*) FROM users GROUP BY 1 ORDER BY 1, 2

-- shape: old
SELECT full_name, age, count(*) FROM users GROUP BY GROUPING SETS ((full_name), (age), ()) ORDER BY 1, 2, 3

-- shape: old
SELECT full_name, age, grouping(full_name), count(*) FROM users GROUP BY ROLLUP (full_name, age) ORDER BY 1, 2, 3, 4

-- shape: old
SELECT mode() WITHIN GROUP (ORDER BY full_name) FROM users

-- shape: old
SELECT DISTINCT ON (lower(full_name)) lower(full_name), id FROM users ORDER BY lower(full_name), id

-- shape: old
SELECT full_name FROM users ORDER BY full_name FETCH FIRST 3 ROWS WITH TIES

-- shape: old
SELECT full_name FROM users INTERSECT SELECT full_name FROM people ORDER BY 1

-- shape: old
(SELECT full_name FROM users WHERE id < 3) UNION ALL (SELECT full_name FROM users WHERE id > 10) ORDER BY full_name LIMIT 3

-- shape: old
SELECT u.id, w FROM users u, unnest(string_to_array(u.full_name, ' ')) AS w ORDER BY u.id, w

-- shape: old
SELECT u.id, w.x FROM users u CROSS JOIN LATERAL unnest(string_to_array(full_name, ' ')) AS w(x) ORDER BY u.id, w.x

-- shape: old
SELECT CASE full_name WHEN 'Plato' THEN 1 ELSE 2 END, CASE WHEN id = 1 THEN full_name END FROM users ORDER BY id

-- shape: old
SELECT ROW(full_name, id), (full_name, id) IN (('Plato', 3)), ARRAY[full_name, nick] FROM users ORDER BY id

-- shape: old
SELECT id FROM users WHERE (full_name, id) = (SELECT 'Plato', 3)

-- shape: old
SELECT id FROM users WHERE full_name COLLATE "C" < 'P' AND full_name NOT BETWEEN SYMMETRIC 'x' AND 'y' ORDER BY id

-- shape: old
SELECT full_name ILIKE 'a%', full_name ~* '^p', full_name SIMILAR TO 'P%' FROM users ORDER BY id

-- shape: old
SELECT substring(full_name FROM 1 FOR 3), trim(both 'a' FROM full_name), position('a' IN full_name), overlay(full_name PLACING 'x' FROM 2), extract(year FROM created) FROM users ORDER BY id

-- shape: old
SELECT full_name IS NULL AS missing, full_name IS NOT NULL FROM users ORDER BY id

-- shape: old
-- params: none
SELECT coalesce(full_name, $1) FROM users ORDER BY id

-- shape: old
-- params: {Plato,Sappho}
SELECT id FROM users WHERE full_name = ANY ($1) ORDER BY id

-- shape: old
CREATE TEMP TABLE x AS SELECT full_name, upper(full_name) AS u FROM users

-- shape: old
SELECT full_name, id INTO TEMP x FROM users

-- shape: old
UPDATE users SET full_name = x.n FROM (VALUES (1, 'a b'), (2, 'b c')) AS x(id, n) WHERE x.id = users.id

-- shape: old
-- params: from param
UPDATE users SET full_name = CASE WHEN id = 1 THEN 'a b' WHEN id = 2 THEN $1 ELSE full_name END WHERE id IN (1, 2, 3)

-- shape: old
-- params: {70,71} | {a b,c d}
INSERT INTO users (id, full_name) SELECT * FROM unnest($1::int[], $2::text[])

-- shape: old
-- params: {70,71} | {a b,c d}
INSERT INTO users (id, full_name) SELECT a, b FROM unnest($1::int[], $2::text[]) AS t(a, b) RETURNING id

-- shape: old
-- params: 1 | par am
INSERT INTO users (id, full_name) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET full_name = $2 RETURNING full_name

-- shape: old
INSERT INTO users (id, full_name) VALUES (70, (SELECT note FROM orders WHERE id = 1)) RETURNING *

-- shape: old
INSERT INTO users (id, full_name, created) VALUES (70, 'x y', timestamptz '2026-05-05 00:00:00+00' - interval '1 day'), (71, 'z', DEFAULT)

-- shape: old
-- params: low er
INSERT INTO users (id, full_name) VALUES (70, upper($1)) RETURNING full_name

-- shape: old
INSERT INTO items (id, price_cents) VALUES (20, 1.6), (21, 2.4) RETURNING price_cents

-- shape: old
UPDATE items SET price_cents = price_cents * 1.1

-- shape: new
UPDATE items SET price = 1.005 WHERE id = 1 RETURNING *

-- shape: new
UPDATE items SET price = round(price * 1.1, 2), code = 'sku:' || lower(substr(code, 5)) RETURNING *

-- shape: old
SELECT (SELECT u.full_name FROM users u WHERE u.id = o.user_id) FROM orders o ORDER BY o.id

-- shape: old
SELECT max(full_name) AS full_name FROM users HAVING max(full_name) > 'A'

-- shape: old
SELECT a.full_name FROM users a WHERE NOT EXISTS (SELECT FROM users b WHERE b.full_name > a.full_name)

-- shape: old
SELECT id FROM users ORDER BY CASE WHEN full_name IS NULL THEN 1 ELSE 0 END, full_name DESC, id

-- shape: old
WITH x AS (UPDATE users SET full_name = upper(full_name) WHERE id < 4 RETURNING *), y AS (SELECT full_name FROM x) SELECT * FROM y ORDER BY 1

-- shape: old
WITH x AS MATERIALIZED (SELECT full_name AS n, id FROM users) INSERT INTO orders SELECT id + 100, id, 1, n FROM x RETURNING *

-- shape: old
UPDATE orders SET note = (SELECT full_name FROM users WHERE users.id = orders.user_id) RETURNING *

-- shape: old
UPDATE orders o SET note = full_name FROM users u WHERE u.id = o.user_id RETURNING o.note, u.full_name, u.*

-- shape: old
DELETE FROM orders WHERE note IN (SELECT full_name FROM users) RETURNING *

-- shape: old
MERGE INTO orders o USING users u ON u.id = o.user_id WHEN MATCHED THEN UPDATE SET note = u.full_name

-- shape: old
SELECT u.full_name || ' / ' || o.note FROM users u FULL JOIN orders o ON o.user_id = u.id ORDER BY u.id, o.id

-- shape: old
SELECT full_name::varchar(3), full_name::text, nick::varchar, CAST(full_name AS char(5)) FROM users ORDER BY id

-- shape: old
SELECT sku::varchar, sku::varchar(10), sku::varchar(3), sku::text, price_cents::int, price_cents::bigint FROM items ORDER BY id

-- shape: new
SELECT price::numeric, price::numeric(10,2), price::numeric(5,1), code::varchar(12) FROM items ORDER BY id

-- shape: old
SELECT s.sku, s.p FROM (SELECT sku, price_cents AS p FROM items) AS s (sku, p) ORDER BY 1

-- shape: old
SELECT q.a FROM (SELECT full_name FROM users) AS q (a) WHERE a > 'P' ORDER BY a

-- shape: old
SELECT string_agg(DISTINCT full_name, ', ' ORDER BY full_name) OVER () FROM users WHERE false

-- shape: old
SELECT lag(full_name) OVER (ORDER BY id) AS previous, first_value(full_name) OVER (PARTITION BY age ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM users ORDER BY id

-- shape: old
SELECT id FROM users WHERE full_name > ALL (SELECT note FROM orders WHERE note IS NOT NULL) ORDER BY id

-- shape: old
INSERT INTO orders (id, note) SELECT 500 + id, full_name FROM users WHERE full_name = 'Plato' ON CONFLICT (id) DO NOTHING RETURNING note

-- shape: old
INSERT INTO orders (id, note) VALUES (1, (SELECT full_name FROM users WHERE id = 1)) ON CONFLICT (id) DO UPDATE SET note = excluded.note || (SELECT full_name FROM users WHERE id = 2) RETURNING note

SELECT 1; SELECT * FROM users WHERE id = 1

-- shape: old
SELECT id, xmin IS NOT NULL AS x, tableoid::regclass, full_name FROM users ORDER BY id

-- shape: old
SELECT * FROM users WHERE full_name = 'Plato' ORDER BY full_name FOR NO KEY UPDATE SKIP LOCKED

-- shape: old
UPDATE ONLY users SET full_name = 'o nly' WHERE id = 1

-- shape: old
UPDATE users * SET full_name = 's tar' WHERE id = 1

-- shape: old
UPDATE users SET (full_name) = ROW('r w') WHERE id = 1

-- shape: old
UPDATE users SET (age, nick) = (SELECT 5, 'zz'), full_name = lower(full_name) WHERE id = 1

-- shape: old
UPDATE users SET full_name = (SELECT note FROM orders WHERE false) WHERE id = 1

-- shape: old
UPDATE users SET full_name = (SELECT note FROM orders)

-- shape: old
UPDATE users SET full_name = 'twice', full_name = 'again'

-- shape: old
INSERT INTO users (id, id, full_name) VALUES (1, 2, 'x')

-- shape: old
INSERT INTO users (id, full_name) VALUES (91, 'ü ö'), ('x', 'y')

-- shape: new
INSERT INTO users (id, first_name, last_name) VALUES (91, 'ü', 'ö'), (92, DEFAULT, DEFAULT), (93, NULL, NULL) RETURNING *

-- shape: new
SELECT first_name, last_name, count(*) OVER (PARTITION BY last_name) FROM users ORDER BY id

-- shape: new
SELECT first_name FROM users UNION SELECT last_name FROM users ORDER BY 1

-- shape: new
WITH n AS (SELECT first_name || coalesce(' ' || last_name, '') AS full_name, id FROM users) SELECT full_name FROM n WHERE full_name > 'P' ORDER BY full_name

-- shape: new
DELETE FROM users WHERE (first_name, last_name) = ('Ada', 'Byron') RETURNING *

-- shape: new
SELECT 1 AS sku, count(*) FROM items GROUP BY sku

-- shape: new
SELECT qty, lower(code) AS sku, count(*) FROM items GROUP BY ROLLUP (sku, qty) ORDER BY 1, 2

-- shape: new
SELECT items.*, 1 AS "sku" FROM items GROUP BY items.id, "sku" ORDER BY 1

-- shape: new
SELECT u.age % 2 AS full_name, count(*) FROM users u WHERE u.age IS NOT NULL GROUP BY full_name HAVING count(*) > 0 ORDER BY full_name

-- shape: old
SELECT s.a FROM (SELECT price_cents, sku FROM items) AS s (a, b) ORDER BY b, a

-- shape: new
SELECT s.a, s.b FROM (SELECT price, code FROM items) AS s (a, b) ORDER BY b, a

-- shape: new
WITH w (x, y) AS (SELECT code, price FROM items) SELECT * FROM w ORDER BY 1

-- shape: new
SELECT price FROM items UNION SELECT 1.005::numeric(10,2) ORDER BY 1

-- shape: new
SELECT (ARRAY[price])[1], coalesce(price, price), CASE WHEN qty > 1 THEN code ELSE code END, greatest(code, code) FROM items ORDER BY id

-- shape: old
SELECT (ARRAY[sku])[1], nullif(sku, 'A-1'), max(sku) OVER (), lag(sku) OVER (ORDER BY id) FROM items ORDER BY id

-- shape: new
CREATE TEMP TABLE x AS SELECT price, code FROM items; SELECT * FROM x WHERE false

-- shape: old
VALUES (1), (2) ORDER BY (SELECT min(full_name) FROM users WHERE full_name > 'P'), 1

-- shape: old
VALUES (1), (2), (3) ORDER BY 1 LIMIT (SELECT length(full_name) - 3 FROM users WHERE id = 3)

-- shape: old
TABLE users ORDER BY lower(full_name), id

-- shape: new
TABLE items ORDER BY -price, id LIMIT (SELECT count(*) FROM items WHERE code > 'sku:E')

-- shape: new
SELECT first_name FROM people a JOIN people b USING (first_name), users

-- shape: new
SELECT (SELECT full_name FROM users WHERE users.id = 1) FROM people ORDER BY people.id

-- shape: new
INSERT INTO items (id, code) VALUES (1, 'sku:q') ON CONFLICT (id) DO UPDATE SET code = excluded.sku

-- shape: new
INSERT INTO items (id, code) VALUES (1, 'sku:q') ON CONFLICT (id) DO UPDATE SET code = upper(excluded.code) || sku

-- shape: old
INSERT INTO users AS set (id, full_name) VALUES (1, 'a b') ON CONFLICT (id) DO UPDATE SET full_name = set.full_name || 'c', age = 4 RETURNING set.*

-- shape: old
UPDATE users AS set SET full_name = set.full_name || ' ' || set.id, age = 4 WHERE set.id < 3

-- shape: old
INSERT INTO users (id, full_name, age) SELECT id + 100, note when, user_id end FROM orders

-- shape: old
INSERT INTO users (id, full_name, age) SELECT DISTINCT id + 100, ('x y') when, -5 "end" FROM orders

-- shape: old
SELECT full_name::timestamp with time zone FROM users WHERE false

-- shape: old
SELECT full_name::varchar(30) COLLATE "C" FROM users UNION SELECT note FROM orders ORDER BY 1

-- shape: old
SELECT full_name LIMIT 1

-- shape: old
SELECT "users" . /* . */ "full_name" -- , FROM
, U&"f\0075ll_name" FROM users ORDER BY id

-- shape: old
SELECT $$full_name FROM$$, E'\'full_name', full_name, U&'\0041' FROM /* żółć */ users WHERE full_name = 'Żółć Jaźń' OR nosuch

-- shape: old
UPDATE users SET full_name = (CASE WHEN age IS DISTINCT FROM 1 THEN extract(year FROM created)::text ELSE substring(full_name FROM 1 FOR 2) END), age = age OPERATOR(pg_catalog.+) 1, nick = trim(BOTH FROM nick) FROM (SELECT 1 AS one) AS s WHERE id < 5

-- shape: old
UPDATE users SET full_name = CASE id WHEN 1 THEN 'a b' ELSE full_name END || CASE WHEN true THEN '' END WHERE id < 3 RETURNING CASE WHEN id = 1 THEN 'x' ELSE full_name END

-- shape: old
SELECT *, full_name AS "from", full_name "order", full_name AS end, full_name select FROM users ORDER BY "from", id

-- shape: old
SELECT full_name "as" FROM users GROUP BY "as" ORDER BY "as"

-- shape: old
SELECT j.id, full_name FROM users JOIN orders USING (id) AS j ORDER BY j.id

-- shape: old
INSERT INTO items (id, sku) SELECT DISTINCT 300, 'P-1' FROM people RETURNING *

-- shape: old
INSERT INTO items (id, price_cents) SELECT DISTINCT ON (id) id + 300, '12' FROM people RETURNING *

SELECT items.*, k.* FROM unnest(ARRAY[1, 2], ARRAY['a', 'b']) AS k (k0, k1) JOIN items ON k0 = items.id ORDER BY 1

SELECT * FROM unnest(ARRAY[1, 2], ARRAY['a', 'b']) AS k (k0, k1) JOIN items ON k0 = items.id ORDER BY 1

SELECT * FROM unnest(ARRAY[1, 2]) AS k (k0) JOIN items ON k0 = items.id ORDER BY 1

-- shape: old
INSERT INTO users (id, full_name, age) SELECT id + 100, 'x y' case, user_id FROM orders

-- shape: old
INSERT INTO users (id, full_name, age) SELECT id + 100, note, user_id case FROM orders WHERE CASE WHEN id > 1 THEN true END

-- shape: old
INSERT INTO users (id, full_name, age) SELECT DISTINCT id + 100, 'x y' case, user_id FROM orders

-- shape: old
INSERT INTO items (id, price_cents) SELECT DISTINCT ON (1) 100 AS a, -5 end

-- shape: old
INSERT INTO users (id, full_name) VALUES (300, (SELECT note case FROM orders WHERE id = 1))

-- shape: old
INSERT INTO users (id, full_name) VALUES (300, 'a b' || CASE WHEN true THEN CASE 1 WHEN 1 THEN 'c' END || 'd' ELSE '' END)

-- shape: old
UPDATE users SET full_name = (SELECT note end FROM orders WHERE orders.id = users.id), age = -CASE WHEN age > 40 THEN 1 ELSE 2 END RETURNING full_name case, CASE WHEN true THEN full_name ELSE full_name END end

-- shape: old
-- params: 2 | 205
INSERT INTO items (id, user_id, price_cents) SELECT DISTINCT 300, $1, $2 FROM people

-- shape: old
UPDATE users SET (age, full_name) = (CASE CASE WHEN age > 40 THEN 'a' END WHEN 'a' THEN age END, nick || ' x') WHERE id < 5 RETURNING CASE CASE WHEN true THEN 'z' END WHEN full_name THEN 'n' ELSE full_name END
