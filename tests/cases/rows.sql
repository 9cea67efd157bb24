SELECT u FROM users u ORDER BY id

SELECT users FROM users ORDER BY users

SELECT users.* AS x, (users).* y, users.* end, 1 FROM users ORDER BY id

SELECT row_to_json(u), to_jsonb(u.*), to_json(users) FROM users u, users ORDER BY u.id, users.id LIMIT 5

SELECT json_agg(u ORDER BY u.id), jsonb_agg(u ORDER BY u), count(u), count(DISTINCT u), count(u.*) FROM users u

SELECT to_json(array_agg(u ORDER BY id)), array_length(array_agg(u), 1), array_to_json(array_agg(u ORDER BY u)) FROM users u

SELECT json_build_object('a', u, 'b', 1), jsonb_build_array(u, o), json_object_agg(u.id, u) OVER (ORDER BY u.id, o.id) FROM users u, orders o ORDER BY u.id, o.id LIMIT 9

SELECT u::text, CAST(u AS varchar), u.*::text AS t, (u)::varchar(5) FROM users u ORDER BY id

SELECT o.id, u, u IS NULL AS n, u IS NOT NULL AS nn, u::text, to_json(u) FROM orders o LEFT JOIN users u ON u.id = o.user_id ORDER BY o.id

SELECT o.id, count(u), json_agg(u), json_agg(to_json(u)) FILTER (WHERE u IS NOT NULL) FROM orders o LEFT JOIN users u ON u.id = o.user_id GROUP BY o.id ORDER BY o.id

SELECT u IS DISTINCT FROM v AS d, u = v, u <> v, u < v, u IN (v, v), u BETWEEN v AND v FROM users u, users v ORDER BY u.id, v.id

SELECT id FROM users u WHERE u = (SELECT v FROM users v WHERE v.id = 3)

SELECT id FROM users u WHERE u IN (SELECT v FROM users v WHERE v.id > 6) ORDER BY u DESC

SELECT id FROM users u WHERE (u, 1) = (u, 1) AND u >= ALL (SELECT v FROM users v) AND EXISTS (SELECT u)

SELECT DISTINCT u FROM users u, orders o ORDER BY u

SELECT DISTINCT ON (u) u, o.id FROM users u, orders o ORDER BY u, o.id

SELECT u AS x, count(*) FROM users u JOIN orders o ON o.user_id = u.id GROUP BY u ORDER BY u

SELECT u, sum(o.total) FROM users u JOIN orders o ON o.user_id = u.id GROUP BY u.id ORDER BY u.id

SELECT u, count(*) FROM users u GROUP BY u ORDER BY 1

SELECT grouping(u), count(*) FROM users u GROUP BY ROLLUP (u) ORDER BY 1, 2

SELECT count(*) OVER (PARTITION BY u), row_number() OVER (ORDER BY u DESC), lag(u) OVER (ORDER BY u.id), first_value(u) OVER w FROM users u WINDOW w AS (PARTITION BY u ORDER BY id) ORDER BY u.id

SELECT coalesce(u, NULL) AS c, coalesce(NULL, u, u.*), CASE WHEN id > 3 THEN u END, CASE u WHEN u THEN u ELSE NULL END, greatest(u, u), nullif(u, u) FROM users u ORDER BY id

SELECT coalesce(u, v) FROM users u FULL JOIN users v ON u.id = v.id + 1 ORDER BY u.id, v.id

SELECT x.u, to_json(x.u), x.u IS NULL, x.u::text FROM (SELECT u, id FROM users u) x ORDER BY x.id

SELECT * FROM (SELECT u, id FROM users u) x ORDER BY id

WITH c AS (SELECT u AS whole, id FROM users u) SELECT c.*, row_to_json(whole) FROM c ORDER BY c.id

WITH c AS (SELECT users FROM users) SELECT row_to_json(c), json_agg(c) OVER (ORDER BY c.users) FROM c ORDER BY c.users

SELECT u FROM users u WHERE id < 4 UNION ALL SELECT v FROM users v WHERE id > 9 ORDER BY u

SELECT u FROM users u UNION SELECT v FROM users v INTERSECT SELECT u FROM users u ORDER BY 1

SELECT (SELECT u FROM users u WHERE u.id = o.user_id) AS owner, (SELECT row_to_json(u) FROM users u WHERE u.id = o.user_id) FROM orders o ORDER BY o.id

SELECT to_json(ARRAY(SELECT u FROM users u ORDER BY id)), to_json(ARRAY[u, u]) FROM users u ORDER BY id

SELECT (SELECT json_agg(u ORDER BY u.id)) FROM users u

SELECT json_agg(x) FROM (SELECT * FROM users ORDER BY id) x

SELECT row_to_json(x) FROM (SELECT id, u FROM users u ORDER BY id) x

SELECT k.key, k.value FROM users u, jsonb_each_text(to_jsonb(u)) k ORDER BY u.id, k.key

SELECT u FROM users u WHERE id = 1 FOR UPDATE OF u

SELECT concat(u, '!'), format('%s', u), num_nulls(u, NULL), concat_ws('-', u, u) FROM users u ORDER BY id

SELECT (u).id, (u).age + 1, ((u)).nick, (users.*).age FROM users u JOIN users ON users.id = u.id ORDER BY 1

SELECT (u).* FROM users u ORDER BY id

SELECT 1 AS one, (u).*, (u.*).id AS i FROM users u ORDER BY (u).id

SELECT ROW(u.*), row_to_json(ROW(u.*)), (u.*, 1) FROM users u ORDER BY id

SELECT to_jsonb(u) - 'created' || to_jsonb(i), i FROM users u JOIN items i ON i.user_id = u.id ORDER BY i.id

SELECT (u).nosuch FROM users u

SELECT u FROM users u GROUP BY age

SELECT id FROM users u WHERE u

SELECT u || 'x' FROM orders u

SELECT id FROM users u WHERE u = '(1,2)'

SELECT public.users FROM users

SELECT public.users.* IS NOT NULL AS a, to_json(public.users.*) FROM public.users ORDER BY id

SELECT u FROM users u, generate_series(1, 2) g WHERE u.id = g ORDER BY u

SELECT u.u FROM users u

UPDATE users u SET age = 1 WHERE id < 4 RETURNING u, to_json(u), (u).id, (u).*

DELETE FROM users WHERE id > 10 RETURNING users

UPDATE users SET age = 1 WHERE id < 4 RETURNING old, new, to_json(old), new.*::text

DELETE FROM users WHERE id > 10 RETURNING old, new

INSERT INTO users (id, age) VALUES (70, 1) RETURNING users, row_to_json(users)

INSERT INTO users (id, age) VALUES (70, 1) RETURNING old, new

WITH d AS (DELETE FROM users WHERE id > 10 RETURNING users AS gone, id) SELECT gone, to_json(gone) FROM d ORDER BY id

INSERT INTO orders (id, note) SELECT id + 100, u::text FROM users u

UPDATE orders o SET note = to_json(u)::text FROM users u WHERE u.id = o.user_id RETURNING o.note, u

INSERT INTO users (id, age) VALUES (1, 5) ON CONFLICT (id) DO UPDATE SET age = excluded.age WHERE users IS DISTINCT FROM excluded RETURNING users

INSERT INTO users (id, nick) VALUES (1, 'q') ON CONFLICT (id) DO UPDATE SET nick = left(to_json(excluded)::text, 9) || num_nulls(users.*)

MERGE INTO orders o USING users u ON u.id = o.user_id AND u IS NOT NULL WHEN MATCHED AND u::text > '' THEN UPDATE SET note = u::text

CREATE TEMP TABLE x AS SELECT to_jsonb(u) AS j FROM users u ORDER BY id

-- shape: old
SELECT (u).full_name, upper((u).full_name), (u).full_name::varchar(3) FROM users u WHERE (u).full_name > 'B' ORDER BY (u).full_name, id

-- shape: old
SELECT (users).full_name AS n, count(*) FROM users GROUP BY (users).full_name ORDER BY n

-- shape: old
SELECT u->>'full_name', u FROM (SELECT to_jsonb(users) AS u FROM users) s ORDER BY u

-- shape: old
SELECT full_name FROM users full_name WHERE full_name LIKE 'P%'

-- shape: old
SELECT (u).first_name FROM users u

-- shape: old
UPDATE users u SET full_name = 'x ' || (u).full_name, nick = to_json(u)::text::varchar(20) WHERE id < 5 RETURNING u

-- shape: new
SELECT (u).first_name || (u).last_name, (u).last_name FROM users u ORDER BY (u).last_name, id

-- shape: new
SELECT (u).full_name FROM users u

-- shape: new
SELECT i, (i).price, (i).code::text, to_json(i), row(i.*) FROM items i ORDER BY i

-- shape: old
SELECT i, (i).price_cents, (i).sku, to_json(i) FROM items i ORDER BY i

SELECT json_build_object('user', u, 'items', (SELECT json_agg(i ORDER BY i.id) FROM items i WHERE i.user_id = u.id)) FROM users u ORDER BY u.id

SELECT u, i FROM users u LEFT JOIN LATERAL (SELECT i FROM items i WHERE i.user_id = u.id) s ON true ORDER BY u.id, s.i

SELECT u.*, to_json(u) FROM users u WHERE u.id IN (SELECT (v).id FROM users v WHERE v = u) ORDER BY id

SELECT json_agg(u ORDER BY (u).id) FROM (SELECT * FROM users) u

SELECT to_json(u) FROM (SELECT u FROM users u ORDER BY id) u

SELECT s.u, s.o FROM (SELECT u, o FROM users u JOIN orders o ON o.user_id = u.id) s ORDER BY s.o

SELECT count(*) FROM users u WHERE NOT (u IS NULL) AND u IS NOT DISTINCT FROM u

SELECT (SELECT (SELECT u)) FROM users u ORDER BY id

SELECT min(u), max(u) FROM users u

SELECT u FROM users u WHERE u > (SELECT v FROM users v WHERE id = 5) ORDER BY u USING <

SELECT CASE WHEN u IS NULL THEN 'n' ELSE u::text END FROM orders o LEFT JOIN users u USING (id) ORDER BY o.id

WITH d AS (UPDATE users SET age = 0 WHERE id < 4 RETURNING *) SELECT d, to_json(d), (d).age FROM d ORDER BY id

WITH w AS (SELECT users FROM users) SELECT (SELECT json_agg(w.users ORDER BY w.users) FROM w)

SELECT u, u FROM users u ORDER BY 1, 2

SELECT array_to_string(array_agg(u::text ORDER BY id), ';') FROM users u

SELECT string_agg(u::text, ',' ORDER BY u) FROM users u

SELECT jsonb_object_agg(id, to_jsonb(u) - 'id') FROM users u

SELECT id, jsonb_pretty(to_jsonb(u)) FROM users u ORDER BY id

SELECT to_jsonb(u) || jsonb_build_object('o', coalesce(json_agg(o ORDER BY o.id) FILTER (WHERE o.id IS NOT NULL), '[]')) FROM users u LEFT JOIN orders o ON o.user_id = u.id GROUP BY u.id ORDER BY u.id

SELECT coalesce(to_json(u), 'null') FROM orders o LEFT JOIN users u ON false

SELECT r.* FROM users u, LATERAL jsonb_to_record(to_jsonb(u)) AS r (id int, age text) ORDER BY 1

SELECT u FROM users u, users v WHERE u = v ORDER BY u

SELECT users, u FROM users, LATERAL (SELECT users.id) u ORDER BY users

INSERT INTO users AS u (id, nick) SELECT id + 50, left(u::text, 3) || id FROM users u WHERE id < 4 RETURNING u, id

DELETE FROM users u USING orders o WHERE o.user_id = u.id AND o.id <> 2 AND u IS NOT NULL RETURNING u, o, *

UPDATE users SET age = (SELECT count(*) FROM users v WHERE v <> users) RETURNING users.*, users

SELECT lag(u, 1) OVER (ORDER BY id), last_value(u) OVER (ORDER BY id), nth_value(u, 2) OVER (ORDER BY id) FROM users u ORDER BY id

SELECT xmin IS NOT NULL, ctid IS NOT NULL, u FROM users u ORDER BY u

SELECT id FROM users u WHERE (u).id = ANY (SELECT (o).user_id FROM orders o) ORDER BY 1

SELECT u.nick AS users, users FROM users u, users ORDER BY u.id, users.id

SELECT count(*) FROM users u GROUP BY u.* ORDER BY u.*

SELECT ((u)) FROM users u ORDER BY id

SELECT * FROM users u WHERE (u.*) IS NOT NULL ORDER BY id

SELECT JSON_OBJECT('u': u RETURNING jsonb), JSON_ARRAY(u, id), JSON_ARRAYAGG(u ORDER BY id) OVER (PARTITION BY id) FROM users u ORDER BY id

SELECT 1, (u).*, max(u.id) FROM users u

SELECT 1, ( u . *), max(u.id) FROM users u

SELECT count(*), ROW(u.*) FROM users u

-- shape: new
WITH c AS (SELECT (o).*, u.* FROM users u JOIN orders o ON o.id = u.id) SELECT last_name, note, user_id, total FROM c ORDER BY 1, 2

-- shape: old
SELECT id, full_name, note FROM (SELECT (o).*, full_name FROM users u JOIN orders o ON o.user_id = u.id) s ORDER BY 1

SELECT (s).* FROM (SELECT u, id AS one FROM users u) s ORDER BY s.one

SELECT (o).note, (o).* FROM orders o, LATERAL (SELECT (u).*, (o).* FROM users u WHERE u.id = o.user_id) x ORDER BY 2
