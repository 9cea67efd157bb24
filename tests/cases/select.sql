SELECT * FROM users ORDER BY id

SELECT u.* FROM users u WHERE u.id = 3

SELECT u.*, o.* FROM users u JOIN orders o ON o.user_id = u.id ORDER BY o.id

SELECT * FROM users u, orders o WHERE o.user_id = u.id ORDER BY o.id

SELECT * FROM orders o LEFT JOIN users u ON u.id = o.user_id ORDER BY o.id

SELECT * FROM users u JOIN orders o USING (id) ORDER BY id

SELECT * FROM users JOIN items USING (id) JOIN orders USING (id, user_id) ORDER BY id

SELECT count(*) FROM users

SELECT id, age FROM users WHERE age > 40 ORDER BY age, id

TABLE users

SELECT u.id, i.* FROM users u LEFT JOIN items i ON i.user_id = u.id ORDER BY 1, 2

SELECT ctid IS NOT NULL AS c, users.* FROM public.users ORDER BY id

-- params: 3
SELECT * FROM users WHERE id = $1

SELECT * FROM (SELECT * FROM users) s WHERE s.id < 4 ORDER BY s.id

WITH c AS (SELECT * FROM users) SELECT * FROM c ORDER BY id

WITH users AS (SELECT 1 AS id, 'x' AS full_name) SELECT * FROM users

SELECT (SELECT count(*) FROM items WHERE items.user_id = users.id), id FROM users ORDER BY id

SELECT * FROM users WHERE id IN (SELECT user_id FROM orders) ORDER BY id

SELECT *, 'żółć' AS x FROM users ORDER BY id

SELECT id FROM users FOR UPDATE

SELECT * FROM users TABLESAMPLE SYSTEM (100) ORDER BY id

SELECT * FROM ONLY users ORDER BY id

SELECT nosuch FROM users

SELECT users.nosuch FROM users

SELECT id FROM users WHERE

-- shape: old
SELECT full_name FROM users ORDER BY id

-- shape: old
SELECT /* keep */ u.full_name -- and this
FROM users AS u WHERE full_name = 'Ada Lovelace'

-- shape: old
SELECT full_name AS name, upper(full_name), length(u.full_name) AS l FROM users u ORDER BY u.full_name, id

-- shape: old
SELECT full_name FROM users WHERE full_name LIKE 'A%' ORDER BY full_name DESC NULLS LAST, id

-- shape: old
SELECT full_name::varchar, (full_name), full_name COLLATE "C", CASE WHEN id > 3 THEN 'x' ELSE full_name END FROM users ORDER BY id

-- shape: old
SELECT full_name, count(*) FROM users GROUP BY full_name ORDER BY full_name, 2

-- shape: old
SELECT full_name AS n, count(*) FROM users GROUP BY n ORDER BY n

-- shape: old
SELECT lower(full_name) FROM users GROUP BY lower(full_name) HAVING lower(full_name) > 'a' ORDER BY lower(full_name)

-- shape: old
SELECT id, full_name, age FROM users GROUP BY id ORDER BY id

-- shape: old
SELECT DISTINCT full_name FROM users ORDER BY full_name

-- shape: old
SELECT DISTINCT ON (full_name) full_name, id FROM users ORDER BY full_name, id

-- shape: old
SELECT age AS full_name FROM users ORDER BY full_name, id

-- shape: old
SELECT age AS full_name, count(*) FROM users GROUP BY full_name ORDER BY 1, 2

-- shape: old
SELECT id, row_number() OVER (PARTITION BY full_name ORDER BY id) FROM users ORDER BY id

-- shape: old
SELECT id, rank() OVER w FROM users WINDOW w AS (ORDER BY full_name) ORDER BY id

-- shape: old
SELECT s.full_name, s.x FROM (SELECT full_name, age AS x FROM users) s ORDER BY 1, 2

-- shape: old
SELECT o.id, u.full_name FROM orders o LEFT JOIN users u ON u.id = o.user_id AND u.full_name IS NOT NULL ORDER BY o.id

-- shape: old
SELECT o.id FROM orders o WHERE EXISTS (SELECT 1 FROM users u WHERE u.full_name = o.note) ORDER BY o.id

-- shape: old
SELECT id, (SELECT full_name) FROM users ORDER BY id

-- shape: old
SELECT id, (SELECT max(total) FROM orders WHERE note = full_name) FROM users ORDER BY id

-- shape: old
SELECT a.full_name, b.full_name FROM users a JOIN users b ON a.age = b.age AND a.id < b.id ORDER BY a.id, b.id

-- shape: old
SELECT full_name FROM users UNION SELECT note FROM orders ORDER BY full_name

-- shape: old
SELECT full_name FROM users a, users b

-- shape: old
WITH c AS (SELECT id, full_name FROM users WHERE age > 40), d AS (SELECT * FROM c) SELECT d.full_name, c.id FROM c JOIN d USING (id) ORDER BY c.id

-- shape: old
WITH RECURSIVE r(n, full_name) AS (SELECT 1, full_name FROM users WHERE id = 1 UNION ALL SELECT n + 1, full_name || n FROM r WHERE n < 3) SELECT * FROM r ORDER BY n

-- shape: old
SELECT x.full_name FROM orders o, LATERAL (SELECT full_name FROM users u WHERE u.id = o.user_id) x ORDER BY 1

-- shape: old
SELECT string_agg(full_name, ',' ORDER BY full_name), array_agg(full_name ORDER BY id) FROM users

-- shape: old
SELECT count(full_name), count(DISTINCT full_name) FILTER (WHERE full_name > 'B') FROM users

-- shape: old
SELECT full_name FROM users WHERE full_name IN ('Plato', 'Sappho') OR full_name IS NULL ORDER BY id

-- shape: old
SELECT full_name IS DISTINCT FROM 'Plato', full_name || '!' AS y FROM users ORDER BY id LIMIT 3 OFFSET 1

-- shape: old
-- params: Plato
SELECT id FROM users WHERE full_name = $1

-- shape: old
-- params: Plato | 3
SELECT full_name, $2::int FROM users WHERE full_name = $1 OR id = $2 ORDER BY id

-- shape: old
SELECT "full_name", "users"."full_name", public.users.full_name FROM public.users ORDER BY ID

-- shape: old
SELECT FULL_NAME FROM USERS ORDER BY Id FETCH FIRST 2 ROWS ONLY

-- shape: old
SELECT full_name FROM users WHERE id = 1 FOR UPDATE OF users NOWAIT

-- shape: old
SELECT full_name, first_name FROM users

-- shape: old
SELECT u.first_name FROM users u

-- shape: old
SELECT nosuch, full_name FROM users

-- shape: old
SELECT full_name, 'ż', nosuch FROM users

-- shape: old
SELECT full_name FROM users WHERE full_name = 1

-- shape: old
SELECT u.id, g FROM users u, generate_series(1, 2) g WHERE full_name = 'Plato' ORDER BY 2

-- shape: old
SELECT id, price_cents, sku FROM items WHERE price_cents > 100 ORDER BY price_cents

-- shape: old
SELECT sum(price_cents), max(sku), avg(price_cents) FROM items

-- shape: old
SELECT u.full_name, sum(i.price_cents * i.qty) AS total FROM users u JOIN items i ON i.user_id = u.id GROUP BY u.id, u.full_name HAVING sum(i.price_cents) > 0 ORDER BY total

-- shape: old
-- params: 300 | A%
SELECT sku FROM items WHERE price_cents < $1 AND sku LIKE $2

-- shape: old
SELECT sku AS price_cents, price_cents AS sku FROM items ORDER BY price_cents, items.sku

-- shape: old
EXPLAIN (COSTS OFF, FORMAT TEXT) SELECT 1 FROM orders

-- shape: old
SELECT CASE WHEN full_name = 'Plato' THEN 1 END FROM users WHERE CASE WHEN id = 3 THEN full_name ELSE 'q' END = 'Plato'

-- shape: old
SELECT (full_name) AS "Full Name", (u.full_name::text) FROM users u WHERE (u.full_name) = ANY (ARRAY['Plato']) 

-- shape: old
SELECT coalesce(full_name, 'none') FROM users ORDER BY coalesce(full_name, 'none'), id

-- shape: old
SELECT full_name x, age y FROM users ORDER BY x, y, id

-- shape: old
SELECT full_name FROM users ORDER BY lower(full_name), id

-- shape: old
SELECT GREATEST(full_name, 'B'), NULLIF(full_name, 'Plato') FROM users ORDER BY id

-- shape: old
VALUES ((SELECT full_name FROM users WHERE id = 1)), ('b')

-- shape: new
SELECT first_name, last_name FROM users ORDER BY id

-- shape: new
SELECT full_name FROM users

-- shape: new
SELECT u.full_name FROM users u

-- shape: new
SELECT first_name || ' ' || last_name AS full_name FROM users ORDER BY full_name, id

-- shape: new
SELECT last_name, count(*) FROM users GROUP BY last_name ORDER BY 1

-- shape: new
SELECT DISTINCT first_name FROM users WHERE last_name IS NOT NULL ORDER BY first_name

-- shape: new
SELECT o.id, u.first_name FROM orders o LEFT JOIN users u ON u.id = o.user_id ORDER BY o.id

-- shape: new
SELECT id FROM users WHERE first_name = 'Ada' AND last_name = 'Byron'

-- shape: new
-- params: Ada
SELECT id, last_name FROM users WHERE first_name = $1 ORDER BY last_name

-- shape: new
SELECT price, code FROM items ORDER BY price NULLS FIRST

-- shape: new
SELECT sum(price), min(code), avg(price * qty) FROM items WHERE price <> 0

-- shape: new
SELECT price::text, code || 'x' FROM items WHERE price BETWEEN 1 AND 10 ORDER BY id

-- shape: new
-- params: 2.50
SELECT id FROM items WHERE price = $1

-- shape: new
SELECT s.price, s.code FROM (SELECT i.*, 1 AS one FROM items i) s ORDER BY s.id

SELECT u.id, (SELECT count(*) FROM (SELECT o.note AS age, o.id FROM orders o GROUP BY GROUPING SETS ((age, o.id), ())) x WHERE x.id > u.id) FROM users u ORDER BY 1

-- shape: new
SELECT u.id FROM users u WHERE EXISTS (SELECT o.note AS first_name FROM orders o WHERE o.user_id = u.id GROUP BY (first_name, o.id)) ORDER BY 1

-- shape: old
SELECT u.id FROM users u WHERE EXISTS (SELECT o.note AS full_name FROM orders o WHERE o.user_id = u.id GROUP BY ROLLUP ((full_name, o.id), full_name)) ORDER BY 1

-- shape: old
SELECT u.id FROM users u WHERE EXISTS (SELECT o.note AS full_name FROM orders o WHERE o.user_id = u.id GROUP BY ROW(full_name, o.id)) ORDER BY 1

-- shape: new
UPDATE users SET age = 1 FROM items x WHERE x.id = users.id AND EXISTS (SELECT note first_name, 0.05 FROM items JOIN (SELECT note FROM orders) n ON code = note GROUP BY GROUPING SETS (("first_name", price), ())) RETURNING nick

-- shape: old
SELECT u.id FROM users u WHERE EXISTS (SELECT o.note AS full_name FROM items i JOIN orders o ON i.id = o.id GROUP BY (full_name, i.sku)) ORDER BY 1
