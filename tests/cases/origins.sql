-- Which table's column a result column is, however many queries it has come through.

-- shape: new
SELECT first_name FROM (SELECT first_name FROM users) a JOIN (SELECT first_name FROM users) b USING (first_name)

-- shape: old
WITH a AS (SELECT full_name, count(*) FROM users GROUP BY 1), b AS (SELECT full_name FROM a) SELECT k FROM (SELECT full_name FROM b JOIN a USING (full_name)) x (k)

-- shape: old
SELECT full_name, a.full_name, p.full_name FROM (SELECT full_name FROM users) a JOIN people p USING (full_name)

-- shape: old
SELECT * FROM people JOIN (SELECT full_name FROM users) a USING (full_name)

-- shape: old
SELECT * FROM people LEFT JOIN (SELECT full_name FROM users) a USING (full_name)

-- shape: old
SELECT * FROM people RIGHT JOIN (SELECT full_name FROM users) a USING (full_name)

-- shape: old
SELECT * FROM people FULL JOIN (SELECT full_name FROM users) a USING (full_name)

-- shape: old
SELECT full_name FROM (SELECT full_name FROM users) a JOIN (SELECT nick AS full_name FROM users) b USING (full_name)

-- shape: old
SELECT count(*) FROM (SELECT nick AS full_name FROM users) b JOIN (SELECT full_name FROM users) a USING (full_name) WHERE full_name > 'A'

-- shape: old
SELECT v.* FROM (SELECT * FROM users JOIN ROWS FROM (generate_series(1, 2), unnest(ARRAY['a', 'b'])) f ON users.id = 2, people) v

-- shape: new
SELECT v.*, 1 FROM (SELECT f.*, u.* FROM users u, ROWS FROM (generate_series(1, 2), unnest(ARRAY['a', 'b'])) f) v

-- shape: old
SELECT full_name, v.full_name, nick FROM (SELECT users.*, f.* FROM users JOIN ROWS FROM (generate_series(1, 2), unnest(ARRAY['a', 'b'])) f ON users.id = 2) v

-- shape: old
SELECT x.b, x.* FROM (SELECT users.*, f.* FROM users, ROWS FROM (generate_series(1, 2), unnest(ARRAY['a', 'b'])) f) x (a, b)

-- shape: old
WITH x (a, b, c, d, e, f, g) AS (SELECT users.*, f.* FROM users, ROWS FROM (generate_series(1, 2), unnest(ARRAY['a', 'b'])) f) SELECT b, g, x.* FROM x

-- shape: old
SELECT * FROM (SELECT users.*, f.* FROM users, ROWS FROM (generate_series(1, 2), unnest(ARRAY['a', 'b'])) f) v JOIN people USING (id)

-- shape: old
SELECT CAST(CAST(full_name AS text) AS text), full_name::text::text::text, full_name::varchar::text, full_name::pg_catalog.text::text FROM users

-- shape: old
SELECT a::text, b::text, c::varchar, CAST(c AS varchar(20)) FROM (SELECT full_name::varchar AS a, full_name::text AS b, nick AS c FROM users) v

-- shape: new
SELECT code, code::varchar(12), code::varchar(12)::varchar(12), code::varchar, code::varchar::varchar(12), price::numeric(10, 2)::numeric(10, 2), price::numeric(10, 2)::numeric FROM items

-- shape: old
SELECT (v).full_name, (v).nick, (v).full_name::text, (v.full_name) FROM (SELECT full_name, nick FROM users) v

-- shape: old
SELECT lower(v), upper(lower(v)) FROM (SELECT full_name AS lower FROM users) v

-- shape: old
SELECT lower(v) FROM (SELECT full_name AS lower FROM users) w, (SELECT 'A' AS v) x

-- shape: old
WITH RECURSIVE a AS (SELECT * FROM b), b AS (SELECT full_name FROM c), c AS (SELECT full_name FROM users) SELECT * FROM a

-- shape: old
WITH RECURSIVE b AS (SELECT full_name FROM users), a AS (SELECT full_name FROM b UNION SELECT full_name FROM a) SELECT a.full_name, b.full_name FROM a JOIN b USING (full_name)

-- shape: old
SELECT jt.*, full_name FROM users, XMLTABLE('/a' PASSING NULL COLUMNS a int PATH 'b', o FOR ORDINALITY) jt WHERE id = a

-- shape: old
SELECT *, a, full_name, xmltable.o FROM users LEFT JOIN XMLTABLE('/a' PASSING NULL COLUMNS id int PATH 'b', a int, o FOR ORDINALITY) USING (id)

-- shape: old
SELECT 'x' distinct FROM users

-- shape: new
SELECT first_name distinct FROM users NATURAL JOIN (SELECT id, first_name distinct FROM users) x

INSERT INTO users (id, age) SELECT id + 100, 3 distinct FROM users

-- shape: old
INSERT INTO users (id, full_name) SELECT id + 100, full_name || 'x' distinct FROM users RETURNING id, full_name distinct

-- shape: old
SELECT q, b, c, full_name FROM users, JSON_TABLE('[{"a": 1, "x": [{"b": 2}]}]'::jsonb, '$[*]' COLUMNS (a int PATH '$.a', NESTED PATH '$.x[*]' COLUMNS (b int PATH '$.b', c text PATH '$.c'), o FOR ORDINALITY)) jt (q, r) WHERE id = q AND r = 1

-- shape: old
SELECT *, full_name, json_table.o FROM users JOIN JSON_TABLE('[{"a": 1}]'::jsonb, '$[*]' COLUMNS (id int PATH '$.a', o FOR ORDINALITY)) USING (id)
