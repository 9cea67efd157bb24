-- Target lists of 1664 columns at most, and names that are taken many times.

SELECT *, * FROM (SELECT *, * FROM (SELECT *, * FROM (SELECT *, * FROM (SELECT *, * FROM (SELECT *, * FROM (SELECT *, * FROM (SELECT *, * FROM (SELECT *, * FROM users) a) b) c) d) e) f) g) h

WITH a AS (SELECT *, * FROM users), b AS (SELECT * FROM a, a a2, a a3, a a4), c AS (SELECT * FROM b, b b2, b b3, b b4), d AS (SELECT * FROM c, c c2, c c3, c c4) SELECT * FROM d, d d2, d d3, d d4

-- shape: old
SELECT f.a, f.c, f.id FROM (SELECT *, * FROM (SELECT u.full_name, u.full_name, u.* FROM users u) s (a, b, id, c)) f (a, b, id, c, d, e, x1, x2, x3, x4, x5, x6) ORDER BY f.id

-- shape: old
SELECT * FROM (SELECT *, full_name FROM (SELECT *, age, age FROM users) s (a, full_name, c, d, e, f)) t ORDER BY 1
