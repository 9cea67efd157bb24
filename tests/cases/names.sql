-- shape: old
SELECT full_name FROM users, pg_stat_activity WHERE pid = pg_backend_pid() AND id < 4 ORDER BY 1

-- shape: old
SELECT full_name, relname FROM users JOIN pg_class ON relname = 'users' WHERE users.id = 1 AND relkind = 'r'

-- shape: old
SELECT full_name, role_name FROM users, information_schema.enabled_roles WHERE id = 2

SELECT * FROM users, pg_database WHERE false

-- shape: old
SELECT full_name, a, b FROM users, jsonb_to_record('{"a": 1, "b": "x"}') AS r (a int, b text) WHERE id = 1

-- shape: old
SELECT U&"f\0075ll_name", u.U&"full!005Fname" UESCAPE '!' FROM users u ORDER BY u.id

-- shape: old
SELECT U&"\0075".full_name FROM U&"\0075sers" AS U&"u" ORDER BY id

-- shape: old
SELECT nodb.public.users.full_name FROM users

-- shape: old
SELECT full_name, nick, count(*) FROM users GROUP BY 1, 2 ORDER BY 2 DESC NULLS LAST, 1, 3

-- shape: old
SELECT upper(full_name), length(full_name) FROM users ORDER BY 2, 1 DESC, id

-- shape: old
SELECT full_name, age, count(*), grouping(full_name, age) FROM users GROUP BY CUBE (full_name, age) ORDER BY 1, 2, 3, 4

-- shape: old
SELECT full_name, age, count(*) FROM users GROUP BY DISTINCT ROLLUP (full_name, age), ROLLUP (full_name) ORDER BY 1, 2, 3

-- shape: old
SELECT lower(full_name) l, count(*) FROM users GROUP BY GROUPING SETS (lower(full_name), ()) HAVING grouping(lower(full_name)) = 0 OR count(*) > 1 ORDER BY l, 2

-- shape: old
SELECT id, sum(age) OVER (w ROWS UNBOUNDED PRECEDING), max(full_name) OVER (w2 RANGE CURRENT ROW) FROM users WINDOW w AS (PARTITION BY left(full_name, 1) ORDER BY id), w2 AS (ORDER BY full_name) ORDER BY id

-- shape: old
SELECT o.id, x.full_name, y.n FROM orders o LEFT JOIN LATERAL (SELECT full_name FROM users u WHERE u.id = o.user_id OFFSET 0) x ON true, LATERAL (SELECT length(full_name) AS n) y ORDER BY o.id

-- shape: old
WITH users AS (SELECT full_name || '!' AS full_name, id FROM users) SELECT full_name FROM users WHERE full_name LIKE 'P%'

-- shape: old
WITH a AS (WITH users AS (SELECT 1 AS one) SELECT one FROM users) SELECT one, full_name FROM a, users ORDER BY users.id

-- shape: old
WITH RECURSIVE users AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM users WHERE n < 3) SELECT n FROM users ORDER BY n

-- shape: old
WITH RECURSIVE t AS (SELECT id, full_name, age FROM users WHERE id = 1 UNION ALL SELECT u.id, u.full_name, u.age FROM t JOIN users u ON u.id = t.id + 1) SELECT full_name FROM t ORDER BY id

-- shape: old
WITH RECURSIVE t(id, path) AS (SELECT id, ARRAY[full_name] FROM users WHERE id = 1 UNION ALL SELECT u.id, path || u.full_name FROM t, users u WHERE u.id = t.id + 1 AND u.id < 4) SEARCH DEPTH FIRST BY id SET ord CYCLE id SET c USING p SELECT id, path, c FROM t ORDER BY ord

-- shape: old
SELECT v.x, full_name FROM (VALUES (1, 'Plato'), (2, 'x')) v (x, y) LEFT JOIN users ON full_name = y ORDER BY x

-- shape: old
SELECT (VALUES (full_name)), ARRAY(VALUES (full_name), (nick)) FROM users ORDER BY id

-- shape: old
SELECT full_name AS f FROM users UNION ALL SELECT note FROM orders EXCEPT SELECT 'x' ORDER BY f DESC NULLS LAST LIMIT 5 OFFSET 1

-- shape: old
(SELECT full_name, id FROM users ORDER BY full_name LIMIT 2) UNION ALL (SELECT full_name, id FROM users ORDER BY full_name DESC NULLS LAST LIMIT 2) ORDER BY 2

-- shape: old
SELECT full_name FROM users TABLESAMPLE BERNOULLI (100) REPEATABLE (3) WHERE full_name > 'E' ORDER BY 1

-- shape: old
SELECT full_name FROM ONLY users u WHERE u.id < 3 ORDER BY 1 FOR NO KEY UPDATE OF u SKIP LOCKED

-- shape: old
SELECT u.full_name, o.id FROM users u JOIN orders o ON o.user_id = u.id ORDER BY o.id FOR UPDATE OF u FOR SHARE OF o

-- shape: old
SELECT full_name, count(*) FROM users GROUP BY full_name FOR UPDATE

-- shape: old
DECLARE c CURSOR FOR SELECT full_name FROM users WHERE id = 2 FOR UPDATE; MOVE 1 FROM c; UPDATE users SET full_name = 'cur sor' WHERE CURRENT OF c; CLOSE c

-- shape: old
DECLARE c CURSOR FOR SELECT id FROM users WHERE full_name = 'Plato'; MOVE 1 FROM c; DELETE FROM users WHERE CURRENT OF c

-- shape: new
DECLARE c SCROLL CURSOR FOR SELECT last_name FROM users ORDER BY last_name, id FOR UPDATE

-- shape: old
SELECT "users"."full_name" FROM "public"."users" AS "users" WHERE "users"."full_name" IN (SELECT "full_name" FROM "people" "users") ORDER BY 1

-- shape: old
SELECT users.full_name FROM users AS u

-- shape: old
SELECT u.full_name FROM users AS u, LATERAL (SELECT u.full_name AS full_name) u2 WHERE u2.full_name = u.full_name ORDER BY 1

-- shape: old
SELECT full_name FROM users AS u WHERE EXISTS (SELECT 1 FROM users u WHERE full_name = 'Plato') ORDER BY u.full_name

-- shape: new
SELECT first_name, count(*) FILTER (WHERE last_name IS NULL) FROM users GROUP BY ROLLUP (1) ORDER BY 1, 2

-- shape: new
WITH RECURSIVE t AS (SELECT id, first_name FROM users WHERE id = 1 UNION SELECT u.id, u.first_name FROM users u, t WHERE u.id = t.id + 1) SELECT * FROM t ORDER BY id

-- shape: old
SELECT full_name, (SELECT full_name), (SELECT max(total) FROM orders WHERE note = full_name) FROM users GROUP BY id, full_name ORDER BY 1, 3

-- shape: old
SELECT full_name, count(*) FROM users u WHERE EXISTS (SELECT 1 FROM people WHERE full_name = u.full_name) GROUP BY full_name ORDER BY 1
