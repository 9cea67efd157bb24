-- Row assignments whose sub-select has another number of columns, and stars in parentheses.

-- shape: old
UPDATE users SET (full_name) = (SELECT note, 5 FROM orders WHERE id = users.id)

-- shape: old
UPDATE users SET (full_name) = (SELECT o.* FROM orders o WHERE id = users.id)

-- shape: old
UPDATE users SET (full_name, age) = (SELECT id::text FROM orders)

-- shape: old
UPDATE users SET (full_name, age) = (SELECT 'a', 2, 3)

UPDATE users SET (nosuch, age) = (SELECT 'a', 2, 3)

-- shape: new
UPDATE users SET age = 1, (first_name, last_name) = (SELECT 'a', 'b', 'c') WHERE id = 1

-- shape: new
UPDATE users SET (first_name, last_name) = (VALUES ('a', 'b', 'c'))

-- shape: new
UPDATE users SET (first_name, last_name) = (WITH w AS (SELECT 1) SELECT 'a' UNION SELECT 'b')

-- shape: new
UPDATE users SET (first_name, last_name) = (SELECT u.nick, o.note FROM orders o JOIN users u ON u.id = o.user_id WHERE o.id = users.id)

-- shape: old
MERGE INTO users u USING orders o ON o.id = u.id WHEN MATCHED THEN UPDATE SET (full_name) = (SELECT 'a', 2)

-- shape: old
MERGE INTO users u USING orders o ON o.id = u.id WHEN MATCHED THEN UPDATE SET (full_name, age) = (SELECT 'a')

-- shape: old
INSERT INTO users (id, full_name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET (full_name, age) = (SELECT 'a', 2, 3)

-- shape: new
INSERT INTO users (id, last_name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET (first_name) = (SELECT excluded.last_name, 2)

WITH w AS (UPDATE users SET (age, nick) = (SELECT 1) RETURNING id) SELECT * FROM w

UPDATE users SET (age, nick) = (SELECT * FROM generate_series(1, 1) g(x), generate_series(2, 2) h(y)) WHERE id = 2

SELECT (u.*) FROM users u

SELECT 1, (u.*), 2 FROM users u

SELECT ((u.*)), (users.*) AS x FROM users u JOIN users ON users.id = u.id

SELECT (u).*, (u.*)::text FROM users u

SELECT ((u)).* FROM users u

DELETE FROM users WHERE id = 2 RETURNING (users.*), ((users.id))
