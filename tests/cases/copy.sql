COPY users TO STDOUT

COPY public.users TO STDOUT

COPY users (id, age) TO STDOUT

COPY users TO STDOUT WITH CSV HEADER

COPY users TO STDOUT (FORMAT csv, FORCE_QUOTE *)

COPY users TO STDOUT (FORMAT csv, FORCE_QUOTE (nick), NULL 'x', DELIMITER ';')

COPY users (id) TO STDOUT CSV FORCE QUOTE nick

COPY users (id) TO STDOUT CSV FORCE QUOTE nothing

COPY users TO STDOUT WITH BINARY

COPY BINARY users TO STDOUT

COPY BINARY users (age, id) TO STDOUT WITH NULL 'x'

COPY users TO STDOUT USING DELIMITERS '|' WITH NULL AS ''

COPY users (id) TO STDOUT DELIMITERS ','

COPY users TO STDOUT (FORMAT binary)

COPY users TO STDOUT (HEADER MATCH)

COPY users (id, id) TO STDOUT

COPY users (id, nothing) TO STDOUT

COPY users (ctid) TO STDOUT

COPY users (_pgjanus) TO STDOUT

COPY users TO STDOUT (FORMAT nothing)

COPY users TO STDOUT WHERE id = 1

COPY users TO STDOUT (ENCODING 'LATIN2')

COPY (SELECT * FROM users ORDER BY id) TO STDOUT

COPY (TABLE items) TO STDOUT (FORMAT csv, HEADER)

COPY (SELECT id, count(*) OVER () FROM users) TO STDOUT

COPY items TO STDOUT

COPY items TO STDOUT (FORMAT binary)

COPY items (qty, id) TO STDOUT CSV QUOTE '"' ESCAPE '\'

-- shape: old
COPY users (full_name, id) TO STDOUT

-- shape: new
COPY users (full_name) TO STDOUT

-- shape: new
COPY users (last_name, first_name, id) TO STDOUT (FORMAT csv, HEADER, FORCE_QUOTE (last_name, id))

-- shape: old
COPY users (first_name) TO STDOUT

-- shape: old
COPY users TO STDOUT CSV FORCE QUOTE full_name, nick

-- shape: new
COPY users TO STDOUT CSV FORCE QUOTE first_name, nick

-- shape: new
COPY users TO STDOUT CSV FORCE QUOTE full_name

-- shape: old
COPY (SELECT full_name, id FROM users WHERE full_name LIKE 'A%') TO STDOUT CSV HEADER FORCE QUOTE full_name

-- shape: new
COPY (SELECT first_name || '!' AS x, last_name FROM users) TO STDOUT CSV HEADER FORCE QUOTE last_name

-- shape: old
COPY (UPDATE users SET full_name = 'Copied Out' WHERE id < 4 RETURNING id, full_name) TO STDOUT

-- shape: new
COPY (INSERT INTO users (id, first_name) VALUES (90, 'Out') RETURNING *) TO STDOUT

COPY (DELETE FROM users WHERE id = 3 RETURNING *) TO STDOUT

-- shape: new
COPY items (price, code) TO STDOUT (FORMAT binary)

-- shape: old
COPY items (price_cents, sku) TO STDOUT (FORMAT binary)

-- data: 50	3	n50
-- data: 51	\N	\N
COPY users (id, age, nick) FROM STDIN

-- data: 50	3
copy users(id,age)from stdin

-- data: auto
COPY users (nick) FROM STDIN

COPY users (id, age) FROM STDIN

-- data: 50	3
-- data: 51	4
-- data: 52	\N
COPY users (id, age) FROM STDIN WHERE age > 3

-- data: 51	4
-- data: 52	5
COPY users (id, age) FROM STDIN WHERE users.age > 3 AND public.users.id <> 52

-- data: 51	4
COPY users (id, age) FROM STDIN WHERE nothing > 3

-- data: 51	4
COPY users (id, age) FROM STDIN WHERE other.age > 3

-- data: 51	4
COPY users (id, age) FROM STDIN WHERE ctid IS NULL

-- data: 51	4
COPY users (id, age) FROM STDIN WHERE age > (SELECT 1)

-- data: 51	4
COPY users (id, age) FROM STDIN WHERE age

-- data: 50	x
COPY users (id, age) FROM STDIN

-- data: 50	1
-- data: 51
COPY users (id, age) FROM STDIN

-- data: 50	1	2
COPY users (id, age) FROM STDIN

-- data: 50	1
-- data: \N	1
COPY users (id, age) FROM STDIN

-- data: 50	1
-- data: 50	2
COPY users (id, age) FROM STDIN

-- data: 1	1
COPY users (id, age) FROM STDIN

-- data: 50	aaaaaaaaaaaaaaaaaaaaa
COPY users (id, nick) FROM STDIN

-- data: 50	ada
COPY users (id, nick) FROM STDIN

-- data: 50	1
COPY users (id, id) FROM STDIN

-- data: 50	1
COPY users (id, nothing) FROM STDIN

-- data: a;b;c
-- data: 50;x;"q;q"
COPY users (id, age, nick) FROM STDIN WITH CSV HEADER NULL 'x' DELIMITER ';'

-- data: 50,1,""
COPY users (id, age, nick) FROM STDIN (FORMAT csv, FORCE_NULL (nick), FORCE_NOT_NULL (nick))

-- data: 50,"",
COPY users (id, age, nick) FROM STDIN CSV FORCE NOT NULL nick FORCE NULL age

-- data: 50,1
COPY users (id, age) FROM STDIN CSV FORCE NULL nick

-- data: 50,1
COPY users (id, age) FROM STDIN CSV FORCE NULL nothing

-- data: id,age,nick
-- data: 50,1,x
COPY users (id, age, nick) FROM STDIN (FORMAT csv, HEADER MATCH)

-- data: id,age,nock
-- data: 50,1,x
COPY users (id, age, nick) FROM STDIN (FORMAT csv, HEADER MATCH)

-- data: 50	\D
COPY users (id, age) FROM STDIN (DEFAULT '\D')

-- data: 50	D
-- data: D	2027-01-01
COPY users (id, created) FROM STDIN (DEFAULT 'D')

-- data: 50	x
-- data: 51	5
COPY users (id, age) FROM STDIN (ON_ERROR ignore)

-- data: 50	x
-- data: 51	5
COPY users (id, age) FROM STDIN (ON_ERROR ignore, LOG_VERBOSITY verbose)

-- data: 50	x
COPY users (id, nick) FROM STDIN (ENCODING 'LATIN2')

-- data: 50	x
COPY users (id, age) FROM STDIN (FORMAT nothing)

-- data: 50|1
COPY users (id, age) FROM STDIN USING DELIMITERS '|'

COPY users FROM '/nowhere/at/all'

COPY users FROM PROGRAM 'exit 3'

-- data: 50	1
COPY users (id, age) FROM STDIN -- with a note

-- data: 50	1
/* before */ COPY users (id, age) FROM STDIN;

-- data: 50	1
COPY "users" ("id", AGE) FROM STDIN

-- data: 50	1	7
COPY items (id, user_id, qty) FROM STDIN

-- data: 50	\N
COPY items (id, qty) FROM STDIN

-- shape: old
-- data: 50	Donald Knuth	80	dek	2026-05-05 00:00:00+00
-- data: 51	\N	\N	\N	2026-05-05 00:00:00+00
-- data: 52	Żółć  de la\tRue	1	z	2026-05-05 00:00:00+00
COPY users FROM STDIN

-- shape: old
-- data: Only Name
-- data: Plato
-- data: \N
-- data: 
COPY users (full_name) FROM STDIN

-- shape: old
-- data: "Two Lines",60
-- data: ,61
-- data: "",62
COPY users (full_name, id) FROM STDIN CSV

-- shape: old
-- data: "",62
COPY users (full_name, id) FROM STDIN CSV FORCE NULL full_name

-- shape: old
-- data: id,full_name
-- data: 50,A B
COPY users (id, full_name) FROM STDIN (FORMAT csv, HEADER MATCH)

-- shape: old
-- data: 50	A B
-- data: 51	B A
-- data: 52	\N
COPY users (id, full_name) FROM STDIN WHERE full_name LIKE 'A%'

-- shape: old
-- data: 50	A
COPY users (id, first_name) FROM STDIN

-- shape: old
-- data: 50	A
COPY users (id, full_name) FROM STDIN WHERE first_name = 'A'

-- shape: old
-- data: 50	Donald Knuth
COPY users FROM STDIN

-- shape: old
-- data: 50	Donald Knuth	1
-- data: 51	Bob	one
COPY users (id, full_name, age) FROM STDIN

-- shape: old
-- data: 50	1	125	K-1	3
-- data: 51	\N	\N	K-2	3
-- data: 52	1	-1		1
COPY items FROM STDIN

-- shape: old
-- data: 50	12	K-1
-- data: 51	12	12345678901
COPY items (id, price_cents, sku) FROM STDIN

-- shape: old
-- except: new_coalesce (nobody's NOT NULL holds there)
-- data: 50	\N
COPY items (id, sku) FROM STDIN

-- shape: old
-- data: 50	D
COPY items (id, price_cents) FROM STDIN (DEFAULT 'D')

-- shape: old
-- data: 50	1.5
COPY items (id, price_cents) FROM STDIN

-- shape: new
-- data: 50	80	dek	2026-05-05 00:00:00+00	Donald	Knuth
-- data: 51	\N	\N	2026-05-05 00:00:00+00	\N	\N
-- data: 52	1	z	2026-05-05 00:00:00+00	Żółć	de la\tRue
COPY users FROM STDIN

-- shape: new
-- data: Only
-- data: \N
COPY users (first_name) FROM STDIN

-- shape: new
-- data: x,y,z
-- data: "Two,Three",B,60
-- data: ,,61
COPY users (first_name, last_name, id) FROM STDIN CSV HEADER

-- shape: new
-- data: "","",62
COPY users (first_name, last_name, id) FROM STDIN CSV FORCE NULL first_name, last_name

-- shape: new
-- data: A,,62
COPY users (first_name, last_name, id) FROM STDIN (FORMAT csv, FORCE_NOT_NULL (last_name), FORCE_NULL (id, first_name))

-- shape: new
-- data: A,62
COPY users (first_name, id) FROM STDIN CSV FORCE NULL last_name

-- shape: new
-- data: A,62
COPY users (first_name, id) FROM STDIN CSV FORCE NULL full_name

-- shape: new
-- data: 50	A
-- data: 51	B
-- data: 52	\N
COPY users (id, first_name) FROM STDIN WHERE first_name LIKE 'A%' AND users.last_name IS NULL

-- shape: new
-- data: 50	A
COPY users (id, full_name) FROM STDIN

-- shape: new
-- data: 50	A
COPY users (id, first_name) FROM STDIN WHERE full_name = 'A'

-- shape: new
-- data: 50	A
COPY users (id, first_name) FROM STDIN WHERE users.full_name = 'A'

-- shape: new
-- data: 50	Donald	1
-- data: 51	Bob	one
COPY users (id, first_name, age) FROM STDIN

-- shape: new
-- data: 50	1
COPY users FROM STDIN

-- shape: new
-- data: 50	1	3	1.25	sku:K-1
-- data: 51	\N	2	\N	sku:K-2
COPY items FROM STDIN

-- shape: new
-- data: 50	1.256	sku:K-1
-- data: 51	x	sku:K
COPY items (id, price, code) FROM STDIN

-- shape: new
-- data: 50	sku:12345678901
COPY items (id, code) FROM STDIN

-- shape: new
-- except: new_coalesce (nobody's NOT NULL holds there)
-- data: 50	\N
COPY items (id, code) FROM STDIN

-- shape: new
-- data: 50	D
COPY items (id, price) FROM STDIN (DEFAULT 'D')

-- data: 50
COPY items (id) FROM STDIN

-- shape: new
COPY users TO STDOUT USING DELIMITERS '|'

COPY users TO STDOUT DELIMITERS '|' CSV HEADER

COPY BINARY users (id) TO STDOUT WITH OIDS

COPY BINARY users TO STDOUT (FORMAT binary)

COPY BINARY users (id) TO STDOUT WITH (NULL 'x')

COPY users (id) TO STDOUT USING DELIMITERS '|' (FORMAT csv, HEADER)

COPY users (id) TO STDOUT DELIMITERS E'\t' WITH (FORMAT csv, NULL 'é')
