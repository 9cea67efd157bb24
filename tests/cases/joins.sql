SELECT * FROM users NATURAL JOIN orders ORDER BY id

SELECT * FROM users NATURAL JOIN people ORDER BY id

SELECT * FROM orders NATURAL LEFT JOIN users ORDER BY id

SELECT * FROM users NATURAL FULL OUTER JOIN people ORDER BY 1, 2

SELECT id, u.id, p.id FROM users u NATURAL RIGHT JOIN people p ORDER BY id

SELECT id, count(*) FROM users NATURAL JOIN people GROUP BY id ORDER BY id

SELECT * FROM users u NATURAL JOIN items ORDER BY id

SELECT count(*) FROM users NATURAL JOIN (VALUES (1)) v (nosuchcolumn)

SELECT users.*, people.id AS i FROM users NATURAL LEFT JOIN people ORDER BY users.id

SELECT * FROM users JOIN orders USING (id), people ORDER BY 1, people.id

SELECT * FROM users NATURAL JOIN items NATURAL JOIN orders ORDER BY id

SELECT u.nick, id FROM (users u NATURAL JOIN items) JOIN orders o USING (id) WHERE id > 0 ORDER BY id

SELECT * FROM orders o JOIN (users u NATURAL JOIN items i) USING (id) ORDER BY id

SELECT id FROM users NATURAL JOIN orders WHERE id IN (SELECT id FROM people NATURAL JOIN users) ORDER BY id

SELECT x.id, y FROM users NATURAL JOIN items x, LATERAL (SELECT id AS y) z ORDER BY id

SELECT id FROM users NATURAL JOIN items, orders

SELECT nosuch FROM users NATURAL JOIN items

SELECT id FROM users JOIN orders USING (nosuch)

SELECT row_to_json(users), id FROM users NATURAL FULL JOIN items ORDER BY id

SELECT id FROM users NATURAL JOIN items FOR UPDATE OF users

UPDATE orders SET note = nick FROM users NATURAL JOIN items WHERE users.id = orders.id AND orders.id > 0

UPDATE orders SET note = nick FROM (SELECT 1) one, users NATURAL JOIN items WHERE items.id = orders.id RETURNING orders.id, items.*

DELETE FROM orders USING users NATURAL JOIN items WHERE items.id = orders.id RETURNING orders.*, nick

INSERT INTO orders (id, note) SELECT id + 100, nick FROM users NATURAL JOIN items RETURNING *

WITH c AS (SELECT * FROM users NATURAL JOIN orders) SELECT * FROM c NATURAL JOIN people ORDER BY id

SELECT id FROM users NATURAL JOIN orders UNION SELECT id FROM people ORDER BY id

SELECT grouping(id), id, count(*) FROM users NATURAL JOIN items GROUP BY ROLLUP (id) ORDER BY 1, 2

SELECT DISTINCT ON (id) id, nick FROM users NATURAL JOIN items ORDER BY id DESC

SELECT id AS x, age + id FROM users NATURAL JOIN items ORDER BY x

-- shape: old
SELECT * FROM users JOIN people USING (full_name) ORDER BY full_name, people.id

-- shape: old
SELECT full_name, count(*) FROM users u LEFT JOIN people p USING (full_name) GROUP BY full_name ORDER BY full_name

-- shape: old
SELECT full_name, upper(full_name), u.full_name, p.full_name FROM users u RIGHT JOIN people p USING (full_name) ORDER BY p.id

-- shape: old
SELECT * FROM users u FULL JOIN people p USING (full_name) ORDER BY full_name, u.id, p.id

-- shape: old
SELECT full_name FROM users u FULL JOIN people p USING (full_name, id) WHERE full_name IS NOT NULL ORDER BY full_name, id

-- shape: old
SELECT * FROM users JOIN people USING (full_name, id) JOIN orders USING (id) ORDER BY id

-- shape: old
SELECT full_name, id FROM users a JOIN users b USING (full_name, id) JOIN users c USING (id, full_name) ORDER BY full_name, id

-- shape: old
SELECT u.id FROM users u JOIN (SELECT 'Plato' AS full_name) s USING (full_name)

-- shape: old
SELECT full_name::varchar(5), full_name || '!' AS y FROM people JOIN users USING (full_name) ORDER BY full_name

-- shape: old
SELECT full_name FROM people JOIN users USING (full_name), users x

-- shape: old
SELECT full_name FROM users JOIN people USING (full_name) ORDER BY full_name COLLATE "C" DESC

-- shape: new
SELECT u.id FROM users u JOIN (SELECT 'Ada' AS first_name) s USING (first_name) ORDER BY 1

-- shape: new
SELECT first_name, p.id, users.id FROM people p JOIN users USING (first_name) ORDER BY 1, 2, 3

-- shape: new
SELECT * FROM people NATURAL JOIN users ORDER BY id

-- shape: new
SELECT id FROM users JOIN people USING (full_name)

-- shape: new
SELECT (SELECT full_name FROM users WHERE users.id = 1) FROM people a JOIN people b USING (full_name) ORDER BY full_name

-- shape: new
SELECT (SELECT full_name FROM users WHERE users.id = 1) FROM people a NATURAL JOIN people b ORDER BY a.id

-- shape: new
SELECT full_name, users.id FROM users, people a JOIN people b USING (full_name) ORDER BY 1, 2

-- shape: new
SELECT first_name, id, full_name FROM users NATURAL FULL JOIN people ORDER BY id, first_name

SELECT a FROM users AS u (a, b) ORDER BY a

SELECT * FROM users AS u (a, b) ORDER BY a

SELECT u.*, b, u.a AS x FROM users u(a, b, c) ORDER BY u.a

SELECT id FROM users u (a)

SELECT u.id FROM users u (a)

SELECT u.a, o.id, id FROM users u (a), orders o WHERE o.user_id = a ORDER BY id

SELECT a, count(*) FROM users AS u (a) GROUP BY a HAVING a > 2 ORDER BY a

SELECT u.a + 1, a::text AS t, (u).a, u FROM ONLY (users) AS u (a) ORDER BY u.a

SELECT to_jsonb(u), u.a FROM users * u (a) WHERE a IN (SELECT user_id FROM orders WHERE user_id = a) ORDER BY a

SELECT a FROM users u (a, b, c, d, e, f, g, h)

SELECT a FROM public.users u (a, b) JOIN orders o (a, b) USING (a) ORDER BY a

SELECT * FROM users u (a, b) NATURAL JOIN orders o (a) ORDER BY a

SELECT x.a, count(*) OVER (PARTITION BY x.a) FROM users TABLESAMPLE SYSTEM (100) x ORDER BY 1

SELECT x.a FROM users x (a) TABLESAMPLE BERNOULLI (100) REPEATABLE (1) ORDER BY 1

UPDATE orders SET note = b::text FROM users u (a, b) WHERE u.a = orders.id RETURNING a, b, u.*

SELECT id FROM users u (id, full_name) ORDER BY id

SELECT "A b".*, "X y" FROM users "A b" ("X y") ORDER BY "X y"

-- shape: old
SELECT b, upper(b) FROM users AS u (a, b) WHERE b > 'B' ORDER BY b

-- shape: old
SELECT full_name FROM users AS u (a, b)

-- shape: old
SELECT id, full_name FROM users AS u (full_name, id) ORDER BY full_name

-- shape: old
SELECT (SELECT full_name) FROM users u (a), (SELECT full_name AS a FROM users) s (full_name) ORDER BY 1

-- shape: new
SELECT f, last_name FROM users u (i, a, n, c, f) ORDER BY i

-- shape: new
SELECT full_name FROM users u (full_name) WHERE full_name = 3

SELECT * FROM users u JOIN users v USING (id) JOIN orders USING (id) ORDER BY id

SELECT * FROM users u LEFT JOIN users v USING (id, age) RIGHT JOIN people USING (id) ORDER BY id

SELECT age, id FROM users u FULL JOIN orders o USING (id) LEFT JOIN items i USING (id) ORDER BY id

SELECT * FROM users u (id, b) JOIN items i (id, b) USING (id) ORDER BY id

SELECT u.* FROM users u (x), items NATURAL JOIN orders WHERE items.user_id = u.x ORDER BY x

SELECT * FROM orders NATURAL JOIN (users u (id, b) NATURAL JOIN people p (id)) ORDER BY id

SELECT * FROM (SELECT * FROM users NATURAL JOIN items) s NATURAL JOIN orders ORDER BY id

SELECT a FROM users u (a) WHERE EXISTS (SELECT 1 FROM orders o (a) WHERE o.a = u.a AND a > 1) ORDER BY a

SELECT a FROM users u (a) UNION SELECT id FROM orders ORDER BY a

SELECT u.a, u.ctid IS NULL FROM users u (a) ORDER BY u.a FOR UPDATE OF u

SELECT id FROM orders WHERE EXISTS (SELECT 1 FROM users u (a) WHERE id = a) ORDER BY id

SELECT age FROM orders, users u (a, b, c) WHERE user_id = a ORDER BY orders.id

SELECT * FROM users NATURAL JOIN users u2

SELECT count(*) FROM (SELECT * FROM users NATURAL FULL JOIN users u2) AS s

SELECT * FROM (SELECT id, age FROM users) a NATURAL JOIN (SELECT id, age FROM users) b
