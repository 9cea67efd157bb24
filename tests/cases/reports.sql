-- What reports, consoles and APIs ask for: windows, grouping sets, recursion, LATERAL, JSON, keyset pagination.

SELECT u.*, o.total, sum(o.total) OVER w, rank() OVER w, lag(o.total) OVER (PARTITION BY u.id ORDER BY o.id) FROM users u LEFT JOIN orders o ON o.user_id = u.id WINDOW w AS (PARTITION BY u.id ORDER BY o.id)

-- shape: old
SELECT full_name, row_number() OVER (PARTITION BY substr(full_name, 1, 1) ORDER BY full_name NULLS LAST, id), count(*) FILTER (WHERE full_name LIKE 'A%') OVER () FROM users ORDER BY 2, 1

-- shape: old
SELECT substr(full_name, 1, 1) AS c, count(*), grouping(substr(full_name, 1, 1)) FROM users GROUP BY ROLLUP (substr(full_name, 1, 1)) ORDER BY 1 NULLS LAST, 3

-- shape: old
SELECT full_name, age, grouping(full_name, age), count(*) FROM users GROUP BY GROUPING SETS ((full_name), (age), (), (full_name, age)) ORDER BY 1, 2, 3

-- shape: old
SELECT full_name, nick, count(*) FROM users GROUP BY CUBE (full_name, nick) HAVING grouping(full_name) = 0 ORDER BY 1, 2

-- shape: old
SELECT full_name AS f, count(*) FROM users GROUP BY ROLLUP (f, (age, nick)) ORDER BY 1, 2

-- shape: old
SELECT full_name FROM users GROUP BY DISTINCT ROLLUP (full_name, age), ROLLUP (full_name, nick) ORDER BY 1

-- shape: old
WITH RECURSIVE t (id, name, depth) AS (SELECT id, full_name, 1 FROM users WHERE id = 1 UNION ALL SELECT u.id, t.name || '/' || u.full_name, depth + 1 FROM t JOIN users u ON u.id = t.id + 1 WHERE depth < 4) SEARCH DEPTH FIRST BY id SET ord CYCLE id SET is_cycle USING path SELECT * FROM t ORDER BY ord

-- shape: old
WITH RECURSIVE t AS (SELECT u.* FROM users u WHERE id = 1 UNION SELECT u.* FROM users u JOIN t ON u.id = t.id + 1) SELECT * FROM t ORDER BY id

-- shape: new
WITH RECURSIVE t AS (SELECT u.id, u.first_name FROM users u WHERE id = 1 UNION SELECT u.id, u.first_name FROM users u JOIN t ON u.id = t.id + 1) CYCLE id SET c USING p SELECT first_name, c FROM t ORDER BY id

-- shape: old
SELECT u.full_name, l.* FROM users u LEFT JOIN LATERAL (SELECT i.sku, i.price_cents, u.full_name || i.sku AS both FROM items i WHERE i.user_id = u.id ORDER BY i.price_cents DESC LIMIT 1) l ON true ORDER BY u.id

-- shape: old
SELECT u.full_name, x FROM users u CROSS JOIN LATERAL string_to_table(u.full_name, ' ') AS x ORDER BY 1, 2

-- shape: old
SELECT u.full_name, w, n FROM users u, LATERAL regexp_split_to_table(full_name, ' ') WITH ORDINALITY AS s (w, n) ORDER BY u.id, n

-- shape: old
SELECT jsonb_agg(jsonb_build_object('id', u.id, 'name', u.full_name, 'items', (SELECT coalesce(jsonb_agg(to_jsonb(i) ORDER BY i.id), '[]') FROM items i WHERE i.user_id = u.id)) ORDER BY u.id) FROM users u

-- shape: old
SELECT json_agg(x ORDER BY x.id) FROM (SELECT u.*, (SELECT json_agg(i.* ORDER BY i.id) FROM items i WHERE i.user_id = u.id) AS items FROM users u) x

-- shape: old
SELECT coalesce(json_agg(row_to_json(t)), '[]') FROM (SELECT id, full_name FROM users ORDER BY id LIMIT 2) t

-- shape: old
SELECT * FROM users WHERE (full_name, id) > ('Grace Hopper', 2) ORDER BY full_name, id LIMIT 3

-- shape: old
-- params: Ada | 3
SELECT * FROM users WHERE (full_name, id) >= ($1, $2) ORDER BY full_name, id LIMIT 3

-- shape: old
SELECT * FROM users WHERE (full_name, nick) IN (VALUES ('Plato', 'plato'), ('Ada Lovelace', 'ada')) OR (full_name, age) = ANY (SELECT full_name, age FROM users WHERE id = 2) ORDER BY id

-- shape: old
SELECT * FROM users WHERE full_name = ANY ('{Plato,Sappho}'::text[]) ORDER BY id

-- shape: old
-- params: {Plato,Sappho}
SELECT id FROM users WHERE full_name = ANY ($1) ORDER BY id

-- shape: old
SELECT id FROM users WHERE full_name ILIKE ANY (ARRAY['%a%', 'p%']) AND full_name !~* '^z' AND full_name SIMILAR TO '%' ORDER BY full_name COLLATE "C" DESC NULLS LAST

-- shape: old
SELECT * INTO TEMP made FROM users

-- shape: old
SELECT full_name, id INTO TEMP made FROM users; SELECT * FROM made ORDER BY id

-- shape: old
CREATE TEMP TABLE made AS SELECT u.full_name, i.* FROM users u JOIN items i ON i.user_id = u.id; SELECT * FROM made ORDER BY id

-- shape: old
SELECT u.full_name, (SELECT string_agg(i.sku, ', ' ORDER BY i.sku) FROM items i WHERE i.user_id = u.id) AS skus, EXISTS (SELECT 1 FROM items i WHERE i.user_id = u.id AND i.price_cents > 100), ARRAY(SELECT sku FROM items i WHERE i.user_id = u.id ORDER BY sku) FROM users u ORDER BY u.id

-- shape: old
SELECT date_trunc('month', u.created) AS m, count(DISTINCT u.full_name), sum(i.price_cents * i.qty) / 100.0 AS total, percentile_cont(0.5) WITHIN GROUP (ORDER BY i.price_cents), mode() WITHIN GROUP (ORDER BY i.sku) FROM users u JOIN items i ON i.user_id = u.id GROUP BY m ORDER BY m

-- shape: new
SELECT date_trunc('month', u.created) AS m, count(DISTINCT u.first_name), sum(i.price * i.qty) AS total, percentile_disc(0.5) WITHIN GROUP (ORDER BY i.price), string_agg(DISTINCT i.code, ',' ORDER BY i.code) FROM users u JOIN items i ON i.user_id = u.id GROUP BY m ORDER BY m

-- shape: new
SELECT avg(price), stddev(price), sum(price) FILTER (WHERE price > 1), max(code), min(code), array_agg(price ORDER BY id), json_object_agg(id, price ORDER BY id) FROM items

-- shape: old
SELECT u.id, u.full_name, count(i.*) FROM users u LEFT JOIN items i ON i.user_id = u.id GROUP BY u.id ORDER BY u.id

-- shape: old
SELECT u.*, count(i.id) FROM users u LEFT JOIN items i ON i.user_id = u.id GROUP BY u.id HAVING max(i.sku) > 'A' ORDER BY u.id

-- shape: old
SELECT full_name FROM users UNION SELECT sku FROM items UNION ALL (SELECT nick FROM users EXCEPT SELECT full_name FROM people) ORDER BY 1 LIMIT 5

-- shape: old
SELECT id, full_name, 'u' AS kind FROM users UNION ALL SELECT id, sku, 'i' FROM items ORDER BY kind, id OFFSET 2 ROWS FETCH FIRST 5 ROWS WITH TIES

-- shape: old
TABLE users ORDER BY full_name LIMIT 2

-- shape: old
VALUES ((SELECT full_name FROM users WHERE id = 1), (SELECT count(*) FROM items)), ('x', 1)

-- shape: old
SELECT DISTINCT ON (substr(full_name, 1, 1)) substr(full_name, 1, 1), full_name, id FROM users ORDER BY substr(full_name, 1, 1), full_name DESC, id

-- shape: old
SELECT JSON_OBJECT('n': full_name, 'a': age ABSENT ON NULL), JSON_ARRAY(full_name, nick NULL ON NULL) FROM users ORDER BY id

-- shape: old
SELECT JSON_ARRAYAGG(full_name ORDER BY id), JSON_OBJECTAGG(id: full_name) FROM users

-- shape: old
SELECT jt.* FROM users u, JSON_TABLE(jsonb_build_array(to_jsonb(u)), '$[*]' COLUMNS (nm text PATH '$.full_name', rid int PATH '$.id')) jt ORDER BY rid

-- shape: old
COPY (SELECT * FROM users ORDER BY id) TO STDOUT WITH (FORMAT csv, HEADER)

-- shape: old
SELECT full_name AS "Name", id AS "ID#" FROM users AS "U" WHERE "U".full_name IS NOT NULL ORDER BY "Name" DESC, "ID#"

-- shape: old
SELECT u1.full_name, u2.full_name FROM users u1 JOIN users u2 ON u1.id < u2.id AND left(u1.full_name, 1) = left(u2.full_name, 1) ORDER BY u1.id, u2.id

-- shape: old
SELECT full_name, last_value(full_name) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING EXCLUDE CURRENT ROW), ntile(3) OVER (ORDER BY full_name, id), first_value(u) OVER (ORDER BY id) FROM users u ORDER BY id

-- shape: old
SELECT sum(price_cents) OVER (ORDER BY price_cents RANGE BETWEEN 10 PRECEDING AND CURRENT ROW), percent_rank() OVER (ORDER BY sku) FROM items ORDER BY id

-- shape: new
SELECT sum(price) OVER (ORDER BY price RANGE BETWEEN 10 PRECEDING AND CURRENT ROW), percent_rank() OVER (ORDER BY code) FROM items ORDER BY id

-- shape: old
SELECT full_name FROM users ORDER BY full_name COLLATE "C" USING <, id

-- shape: old
SELECT max(full_name) AS full_name FROM users HAVING max(full_name) > 'A' ORDER BY max(full_name)

-- shape: old
SELECT full_name AS age, age AS full_name FROM users ORDER BY full_name NULLS FIRST, age

-- shape: old
SELECT lower(full_name) AS full_name, count(*) FROM users GROUP BY full_name ORDER BY 1

-- shape: old
SELECT u.full_name FROM users u, users v GROUP BY u.full_name, v.id HAVING v.id = 1 ORDER BY u.full_name

-- shape: old
SELECT full_name, (SELECT max(x.full_name) FROM users x WHERE x.full_name < users.full_name) FROM users ORDER BY id

-- shape: old
SELECT g.c, max(g.full_name) FROM (SELECT left(full_name, 1) AS c, full_name FROM users) g GROUP BY GROUPING SETS (c, ()) ORDER BY c

-- shape: old
SELECT coalesce(full_name, '?') FROM users GROUP BY ROLLUP (full_name) ORDER BY 1

-- shape: old
SELECT id, full_name FROM users GROUP BY GROUPING SETS ((id), (full_name)) ORDER BY 1, 2

-- shape: old
SELECT full_name FROM users WHERE id IN (1, 2) INTERSECT SELECT full_name FROM users ORDER BY full_name DESC

-- shape: old
SELECT users.full_name FROM public.users ORDER BY public.users.full_name

-- shape: old
SELECT DISTINCT full_name FROM users ORDER BY full_name

-- shape: old
SELECT DISTINCT u.full_name, lower(full_name) FROM users u ORDER BY lower(full_name), u.full_name

-- shape: old
SELECT full_name, id FROM users ORDER BY CASE WHEN full_name IS NULL THEN 1 ELSE 0 END, lower(full_name), id

-- shape: old
SELECT extract(epoch FROM created), full_name FROM users WHERE created::date = '2026-01-02' AND position('a' IN full_name) > 0 AND substring(full_name FROM '^A') = 'A' ORDER BY id

-- shape: old
SELECT * FROM users FULL JOIN items USING (id) ORDER BY id

-- shape: old
SELECT id, full_name, p.first_name FROM users RIGHT JOIN people p USING (id, full_name) ORDER BY id
