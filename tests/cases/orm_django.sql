-- What Django 5.2.19 sent through psycopg 3, recorded on the server: with server-side binding (parameters).

SELECT * FROM users ORDER BY id LIMIT 3

-- params: year | America/Chicago
SELECT COUNT(*) FROM (SELECT DISTINCT DATE_TRUNC($1, "users"."created" AT TIME ZONE $2) AS "datefield" FROM "users" WHERE "users"."created" IS NOT NULL) subquery

-- params: 1
DELETE FROM "users" WHERE "users"."id" IN ($1)

-- shape: old
-- params: 3
SELECT "users"."id", "users"."full_name", "users"."age", "users"."nick", "users"."created" FROM "users" WHERE "users"."id" = $1 LIMIT 21

-- shape: old
-- params: Plato
SELECT "users"."id", "users"."full_name", "users"."age", "users"."nick", "users"."created" FROM "users" WHERE "users"."full_name" = $1 ORDER BY "users"."id" ASC LIMIT 1

-- shape: old
SELECT "users"."id", "users"."full_name", "users"."age", "users"."nick", "users"."created" FROM "users" ORDER BY "users"."full_name" ASC, "users"."id" ASC LIMIT 5 OFFSET 2

-- shape: old
SELECT "users"."id", "users"."full_name", "users"."age", "users"."nick", "users"."created" FROM "users" WHERE "users"."full_name" IS NULL ORDER BY "users"."id" ASC

-- shape: old
-- params: %a%
SELECT "users"."id", "users"."full_name", "users"."age", "users"."nick", "users"."created" FROM "users" WHERE UPPER("users"."full_name"::text) LIKE UPPER($1) ORDER BY "users"."full_name" DESC, "users"."id" ASC

-- shape: old
-- params: A%
SELECT COUNT(*) AS "__count" FROM "users" WHERE "users"."full_name"::text LIKE $1

-- shape: old
-- params: Plato | ada
SELECT "users"."id", "users"."full_name", "users"."age", "users"."nick", "users"."created" FROM "users" WHERE ("users"."full_name" = $1 OR "users"."nick" = $2) ORDER BY "users"."id" ASC

-- shape: old
-- params: Plato | Ada | Sappho
SELECT "users"."id" AS "id", "users"."full_name" AS "full_name" FROM "users" WHERE "users"."full_name" IN ($1, $2, $3) ORDER BY 1 ASC

-- shape: old
-- params: Plato
SELECT "users"."id", "users"."full_name", "users"."age", "users"."nick", "users"."created" FROM "users" WHERE NOT ("users"."full_name" = $1 AND "users"."full_name" IS NOT NULL) ORDER BY "users"."id" ASC

-- shape: old
-- params: G
SELECT "users"."id", "users"."full_name", "users"."age", "users"."nick", "users"."created" FROM "users" WHERE "users"."full_name" > $1 ORDER BY "users"."full_name" ASC, "users"."id" ASC LIMIT 3

-- shape: old
SELECT "users"."full_name" AS "full_name", COUNT("users"."id") AS "c" FROM "users" GROUP BY 1 ORDER BY 1 ASC

-- shape: old
SELECT DISTINCT "users"."full_name" AS "full_name" FROM "users" ORDER BY 1 ASC

-- shape: old
SELECT DISTINCT ON ("users"."full_name") "users"."id", "users"."full_name", "users"."age", "users"."nick", "users"."created" FROM "users" ORDER BY "users"."full_name" ASC, "users"."id" ASC

-- shape: old
-- params: 1 | ^P
SELECT $1 AS "a" FROM "users" WHERE "users"."full_name"::text ~ $2 LIMIT 1

-- shape: old
SELECT "users"."id", "users"."full_name" FROM "users" ORDER BY "users"."id" ASC

-- shape: old
SELECT "users"."id", "users"."age", "users"."nick", "users"."created" FROM "users" ORDER BY "users"."id" ASC

-- shape: old
SELECT MAX("users"."full_name") AS "m", COUNT(DISTINCT "users"."full_name") AS "c" FROM "users"

-- shape: old
-- params: 5
SELECT "users"."id", "users"."full_name", "users"."age", "users"."nick", "users"."created" FROM "users" WHERE "users"."id" < $1 ORDER BY "users"."id" ASC

-- shape: old
-- params: 1 | 2 | 3 | 4
SELECT "items"."id", "items"."user_id", "items"."price_cents", "items"."sku", "items"."qty" FROM "items" WHERE "items"."user_id" IN ($1, $2, $3, $4)

-- shape: old
SELECT "items"."id", "items"."user_id", "items"."price_cents", "items"."sku", "items"."qty", "users"."id", "users"."full_name", "users"."age", "users"."nick", "users"."created" FROM "items" LEFT OUTER JOIN "users" ON ("items"."user_id" = "users"."id") ORDER BY "items"."id" ASC

-- shape: old
-- params: Plato
SELECT "items"."id", "items"."user_id", "items"."price_cents", "items"."sku", "items"."qty" FROM "items" INNER JOIN "users" ON ("items"."user_id" = "users"."id") WHERE "users"."full_name" = $1 ORDER BY "items"."id" ASC

-- shape: old
SELECT "orders"."id", "orders"."user_id", "orders"."total", "orders"."note", "users"."id", "users"."full_name", "users"."age", "users"."nick", "users"."created" FROM "orders" INNER JOIN "users" ON ("orders"."user_id" = "users"."id") WHERE "users"."full_name" IS NOT NULL ORDER BY "orders"."id" ASC

-- shape: old
-- params: 1 | 1
SELECT "users"."id", "users"."full_name", "users"."age", "users"."nick", "users"."created" FROM "users" WHERE EXISTS(SELECT $1 AS "a" FROM "items" U0 WHERE (U0."price_cents" > $2 AND U0."user_id" = ("users"."id")) LIMIT 1) ORDER BY "users"."id" ASC

-- shape: old
-- params: 1
SELECT "users"."id", "users"."full_name", "users"."age", "users"."nick", "users"."created" FROM "users" WHERE NOT EXISTS(SELECT $1 AS "a" FROM "items" U0 WHERE U0."user_id" = ("users"."id") LIMIT 1) ORDER BY "users"."id" ASC

-- shape: old
SELECT "users"."id", "users"."full_name", "users"."age", "users"."nick", "users"."created", (SELECT U0."sku" AS "sku" FROM "items" U0 WHERE U0."user_id" = ("users"."id") ORDER BY U0."price_cents" DESC, U0."id" ASC LIMIT 1) AS "top" FROM "users" ORDER BY "users"."id" ASC

-- shape: old
-- params: 1
SELECT "users"."id", "users"."full_name", "users"."age", "users"."nick", "users"."created" FROM "users" WHERE "users"."id" IN (SELECT U0."user_id" AS "user_id" FROM "items" U0 WHERE U0."price_cents" > $1) ORDER BY "users"."id" ASC

-- shape: old
SELECT "users"."id", "users"."full_name", "users"."age", "users"."nick", "users"."created", RANK() OVER (PARTITION BY "users"."age" ORDER BY "users"."full_name" ASC, "users"."id" ASC) AS "r" FROM "users" ORDER BY "users"."id" ASC

-- shape: old
-- params: 1
SELECT * FROM ( SELECT "users"."id" AS "col1", "users"."full_name" AS "col2", "users"."age" AS "col3", "users"."nick" AS "col4", "users"."created" AS "col5", ROW_NUMBER() OVER (PARTITION BY "users"."age" ORDER BY "users"."full_name" ASC, "users"."id" ASC) AS "r" FROM "users" ORDER BY "users"."id" ASC ) "qualify" WHERE "r" = $1 ORDER BY "col1" ASC

-- shape: old
-- params: 1
SELECT "users"."id", "users"."full_name", "users"."age", "users"."nick", "users"."created" FROM "users" WHERE "users"."id" = $1 FOR UPDATE

-- shape: old
-- params: Plato
SELECT "users"."id", "users"."full_name", "users"."age", "users"."nick", "users"."created" FROM "users" WHERE "users"."full_name" = $1 FOR UPDATE OF "users" SKIP LOCKED

-- shape: old
SELECT "items"."id", "items"."user_id", "items"."price_cents", "items"."sku", "items"."qty", "users"."id", "users"."full_name", "users"."age", "users"."nick", "users"."created" FROM "items" INNER JOIN "users" ON ("items"."user_id" = "users"."id") WHERE "items"."user_id" IS NOT NULL ORDER BY "items"."id" ASC FOR NO KEY UPDATE OF "items"

-- shape: old
(SELECT "users"."full_name" AS "full_name" FROM "users") UNION (SELECT "orders"."note" AS "note" FROM "orders") ORDER BY 1 ASC

-- shape: old
-- params: 3
(SELECT "users"."full_name" AS "full_name" FROM "users" WHERE "users"."id" < $1) UNION ALL (SELECT "orders"."note" AS "note" FROM "orders")

-- shape: old
-- params: Plato | philosopher | other
SELECT CASE WHEN "users"."full_name" = $1 THEN $2 ELSE $3 END AS "kind", COUNT(*) AS "c" FROM "users" GROUP BY 1 ORDER BY 1 ASC

-- shape: old
-- params: , 
SELECT ARRAY_AGG("users"."full_name" ORDER BY "users"."id") AS "a", STRING_AGG("users"."full_name", $1 ORDER BY "users"."full_name") AS "b" FROM "users"

-- shape: old
-- params: id | n
SELECT JSONB_AGG(JSON_OBJECT((($1)::text) VALUE "users"."id", (($2)::text) VALUE "users"."full_name" RETURNING JSONB) ORDER BY "users"."id") AS "j" FROM "users"

-- shape: old
-- params: 2026-01-01 06:00:00+00 | 2027-01-01 05:59:59.999999+00 | plato
SELECT "users"."id", "users"."full_name", "users"."age", "users"."nick", "users"."created" FROM "users" WHERE ("users"."created" BETWEEN $1 AND $2 AND UPPER("users"."full_name"::text) = UPPER($3))

-- shape: old
DECLARE "_django_curs_139745943604096_sync_1" NO SCROLL CURSOR FOR SELECT "users"."id", "users"."full_name", "users"."age", "users"."nick", "users"."created" FROM "users" ORDER BY "users"."id" ASC

-- shape: old
-- params: 1 | 2 | 3
SELECT "users"."id", "users"."full_name", "users"."age", "users"."nick", "users"."created" FROM "users" WHERE "users"."id" IN ($1, $2, $3)

-- shape: old
SELECT "users"."id", "users"."full_name", "users"."age", "users"."nick", "users"."created" FROM "users" ORDER BY "users"."full_name" DESC NULLS LAST, "users"."id" ASC LIMIT 4

-- shape: old
SELECT "users"."id", "users"."full_name", "users"."age", "users"."nick", "users"."created" FROM "users" WHERE (age > 40) ORDER BY "users"."id" ASC

-- shape: old
SELECT "users"."id", "users"."full_name", "users"."age", "users"."nick", "users"."created" FROM "users" ORDER BY "users"."id" DESC LIMIT 1

-- shape: old
SELECT "users"."id", "users"."full_name", "users"."age", "users"."nick", "users"."created" FROM "users" ORDER BY "users"."id" ASC

-- shape: old
-- params: Dj Ango | NULL | dj
INSERT INTO "users" ("full_name", "age", "nick", "created") VALUES ($1, $2, $3, DEFAULT) RETURNING "users"."id", "users"."created"

-- shape: old
-- params: B 0 | NULL | b0 | B 1 | NULL | b1 | B 2 | NULL | b2
INSERT INTO "users" ("full_name", "age", "nick", "created") VALUES ($1, $2, $3, DEFAULT), ($4, $5, $6, DEFAULT), ($7, $8, $9, DEFAULT) RETURNING "users"."id", "users"."created"

-- shape: old
-- params: {60,61} | {1,1} | {0,100} | {C-0,C-1} | {1,1}
INSERT INTO "items" ("id", "user_id", "price_cents", "sku", "qty") SELECT * FROM UNNEST(($1)::integer[], ($2)::integer[], ($3)::integer[], ($4)::varchar[], ($5)::integer[])

-- shape: old
-- params: 1 | Up Sert | NULL | u1 | 70 | Up New | NULL | u2
INSERT INTO "users" ("id", "full_name", "age", "nick", "created") VALUES ($1, $2, $3, $4, DEFAULT), ($5, $6, $7, $8, DEFAULT) ON CONFLICT("id") DO UPDATE SET "full_name" = EXCLUDED."full_name" RETURNING "users"."id", "users"."created"

-- shape: old
-- params: 1 | Ig Nored | NULL | NULL
INSERT INTO "users" ("id", "full_name", "age", "nick", "created") VALUES ($1, $2, $3, $4, DEFAULT) ON CONFLICT DO NOTHING

-- shape: old
-- params: Ada King | 36 | ada | 2026-01-02 03:04:05+00 | 1
UPDATE "users" SET "full_name" = $1, "age" = $2, "nick" = $3, "created" = $4 WHERE "users"."id" = $5

-- shape: old
-- params: Up Fields | 2
UPDATE "users" SET "full_name" = $1 WHERE "users"."id" = $2

-- shape: old
-- params: 99 | Save New | NULL | NULL
INSERT INTO "users" ("id", "full_name", "age", "nick", "created") VALUES ($1, $2, $3, $4, DEFAULT) RETURNING "users"."id", "users"."created"

-- shape: old
-- params: Save Over | 1 | 5
UPDATE "users" SET "full_name" = $1, "age" = $2, "nick" = NULL, "created" = DEFAULT WHERE "users"."id" = $3

-- shape: old
-- params: 1 | Plato
UPDATE "users" SET "age" = ("users"."age" + $1) WHERE "users"."full_name" = $2

-- shape: old
-- params: All Same | 4
UPDATE "users" SET "full_name" = $1 WHERE "users"."id" < $2

-- shape: old
-- params:  | x |  | 3
UPDATE "users" SET "full_name" = (COALESCE("users"."full_name", $1) || COALESCE($2, $3)) WHERE "users"."id" = $4

-- shape: old
-- params: 3
UPDATE "users" SET "full_name" = UPPER("users"."full_name") WHERE "users"."id" = $1

-- shape: old
UPDATE "users" SET "full_name" = (SELECT U0."note" AS "note" FROM "orders" U0 WHERE U0."user_id" = ("users"."id") ORDER BY U0."id" ASC LIMIT 1)

-- shape: old
-- params: 1 | Plato
UPDATE "items" SET "price_cents" = ("items"."price_cents" + $1) WHERE "items"."id" IN (SELECT U0."id" FROM "items" U0 INNER JOIN "users" U1 ON (U0."user_id" = U1."id") WHERE U1."full_name" = $2)

-- shape: old
-- params: 2
UPDATE "items" SET "price_cents" = ("items"."price_cents" * $1)

-- shape: old
-- params: 1 | 2 | 3
SELECT "users"."id", "users"."full_name", "users"."age", "users"."nick", "users"."created" FROM "users" WHERE "users"."id" IN ($1, $2, $3) ORDER BY "users"."id" ASC

-- shape: old
-- params: 1 | Bulk U1 | 2 | Bulk U2 | 3 | Bulk U3 | 1 | 2 | 3
UPDATE "users" SET "full_name" = (CASE WHEN ("users"."id" = $1) THEN $2 WHEN ("users"."id" = $3) THEN $4 WHEN ("users"."id" = $5) THEN $6 ELSE NULL END)::text WHERE "users"."id" IN ($7, $8, $9)

-- shape: old
-- params: 1 | 2
SELECT "items"."id", "items"."user_id", "items"."price_cents", "items"."sku", "items"."qty" FROM "items" WHERE "items"."id" IN ($1, $2) ORDER BY "items"."id" ASC

-- shape: old
-- params: 1 | 7 | 2 | 14 | 1 | Z | 2 | Z | 1 | 2
UPDATE "items" SET "price_cents" = (CASE WHEN ("items"."id" = $1) THEN $2 WHEN ("items"."id" = $3) THEN $4 ELSE NULL END)::integer, "sku" = (CASE WHEN ("items"."id" = $5) THEN $6 WHEN ("items"."id" = $7) THEN $8 ELSE NULL END)::varchar(10) WHERE "items"."id" IN ($9, $10)

-- shape: old
-- params: Plato
DELETE FROM "users" WHERE "users"."full_name" = $1

-- shape: old
-- params: 1
DELETE FROM "items" WHERE "items"."price_cents" < $1

-- shape: old
-- params: Plato
DELETE FROM "items" WHERE "items"."id" IN (SELECT U0."id" FROM "items" U0 INNER JOIN "users" U1 ON (U0."user_id" = U1."id") WHERE U1."full_name" = $1)

-- shape: old
-- params: ada
SELECT "users"."id", "users"."full_name", "users"."age", "users"."nick", "users"."created" FROM "users" WHERE "users"."nick" = $1 LIMIT 21

-- shape: old
-- params: ada
SELECT "users"."id", "users"."full_name", "users"."age", "users"."nick", "users"."created" FROM "users" WHERE "users"."nick" = $1 LIMIT 21 FOR UPDATE

-- shape: old
-- params: Up Or | 2026-01-02 03:04:05+00 | 1
UPDATE "users" SET "full_name" = $1, "created" = $2 WHERE "users"."id" = $3

-- shape: old
-- params: 4
SELECT "users"."id", "users"."full_name" FROM "users" WHERE "users"."id" = $1 LIMIT 21

-- shape: new
-- params: 3
SELECT "users"."id", "users"."age", "users"."nick", "users"."created", "users"."first_name", "users"."last_name" FROM "users" WHERE "users"."id" = $1 LIMIT 21

-- shape: new
-- params: Plato
SELECT "users"."id", "users"."age", "users"."nick", "users"."created", "users"."first_name", "users"."last_name" FROM "users" WHERE "users"."first_name" = $1 ORDER BY "users"."id" ASC LIMIT 1

-- shape: new
SELECT "users"."id", "users"."age", "users"."nick", "users"."created", "users"."first_name", "users"."last_name" FROM "users" ORDER BY "users"."first_name" ASC, "users"."id" ASC LIMIT 5 OFFSET 2

-- shape: new
SELECT "users"."id", "users"."age", "users"."nick", "users"."created", "users"."first_name", "users"."last_name" FROM "users" WHERE "users"."first_name" IS NULL ORDER BY "users"."id" ASC

-- shape: new
-- params: %a%
SELECT "users"."id", "users"."age", "users"."nick", "users"."created", "users"."first_name", "users"."last_name" FROM "users" WHERE UPPER("users"."first_name"::text) LIKE UPPER($1) ORDER BY "users"."first_name" DESC, "users"."id" ASC

-- shape: new
-- params: A%
SELECT COUNT(*) AS "__count" FROM "users" WHERE "users"."first_name"::text LIKE $1

-- shape: new
-- params: Plato | ada
SELECT "users"."id", "users"."age", "users"."nick", "users"."created", "users"."first_name", "users"."last_name" FROM "users" WHERE ("users"."first_name" = $1 OR "users"."nick" = $2) ORDER BY "users"."id" ASC

-- shape: new
-- params: Plato | Ada | Sappho
SELECT "users"."id" AS "id", "users"."first_name" AS "first_name" FROM "users" WHERE "users"."first_name" IN ($1, $2, $3) ORDER BY 1 ASC

-- shape: new
-- params: Plato
SELECT "users"."id", "users"."age", "users"."nick", "users"."created", "users"."first_name", "users"."last_name" FROM "users" WHERE NOT ("users"."first_name" = $1 AND "users"."first_name" IS NOT NULL) ORDER BY "users"."id" ASC

-- shape: new
-- params: G
SELECT "users"."id", "users"."age", "users"."nick", "users"."created", "users"."first_name", "users"."last_name" FROM "users" WHERE "users"."first_name" > $1 ORDER BY "users"."first_name" ASC, "users"."id" ASC LIMIT 3

-- shape: new
SELECT "users"."first_name" AS "first_name", COUNT("users"."id") AS "c" FROM "users" GROUP BY 1 ORDER BY 1 ASC

-- shape: new
SELECT DISTINCT "users"."first_name" AS "first_name" FROM "users" ORDER BY 1 ASC

-- shape: new
SELECT DISTINCT ON ("users"."first_name") "users"."id", "users"."age", "users"."nick", "users"."created", "users"."first_name", "users"."last_name" FROM "users" ORDER BY "users"."first_name" ASC, "users"."id" ASC

-- shape: new
-- params: 1 | ^P
SELECT $1 AS "a" FROM "users" WHERE "users"."first_name"::text ~ $2 LIMIT 1

-- shape: new
SELECT "users"."id", "users"."first_name" FROM "users" ORDER BY "users"."id" ASC

-- shape: new
SELECT "users"."id", "users"."age", "users"."nick", "users"."created", "users"."last_name" FROM "users" ORDER BY "users"."id" ASC

-- shape: new
SELECT MAX("users"."first_name") AS "m", COUNT(DISTINCT "users"."first_name") AS "c" FROM "users"

-- shape: new
-- params: 5
SELECT "users"."id", "users"."age", "users"."nick", "users"."created", "users"."first_name", "users"."last_name" FROM "users" WHERE "users"."id" < $1 ORDER BY "users"."id" ASC

-- shape: new
-- params: 1 | 2 | 3 | 4
SELECT "items"."id", "items"."user_id", "items"."qty", "items"."price", "items"."code" FROM "items" WHERE "items"."user_id" IN ($1, $2, $3, $4)

-- shape: new
SELECT "items"."id", "items"."user_id", "items"."qty", "items"."price", "items"."code", "users"."id", "users"."age", "users"."nick", "users"."created", "users"."first_name", "users"."last_name" FROM "items" LEFT OUTER JOIN "users" ON ("items"."user_id" = "users"."id") ORDER BY "items"."id" ASC

-- shape: new
-- params: Plato
SELECT "items"."id", "items"."user_id", "items"."qty", "items"."price", "items"."code" FROM "items" INNER JOIN "users" ON ("items"."user_id" = "users"."id") WHERE "users"."first_name" = $1 ORDER BY "items"."id" ASC

-- shape: new
SELECT "orders"."id", "orders"."user_id", "orders"."total", "orders"."note", "users"."id", "users"."age", "users"."nick", "users"."created", "users"."first_name", "users"."last_name" FROM "orders" INNER JOIN "users" ON ("orders"."user_id" = "users"."id") WHERE "users"."first_name" IS NOT NULL ORDER BY "orders"."id" ASC

-- shape: new
-- params: 1 | 1
SELECT "users"."id", "users"."age", "users"."nick", "users"."created", "users"."first_name", "users"."last_name" FROM "users" WHERE EXISTS(SELECT $1 AS "a" FROM "items" U0 WHERE (U0."price" > $2 AND U0."user_id" = ("users"."id")) LIMIT 1) ORDER BY "users"."id" ASC

-- shape: new
-- params: 1
SELECT "users"."id", "users"."age", "users"."nick", "users"."created", "users"."first_name", "users"."last_name" FROM "users" WHERE NOT EXISTS(SELECT $1 AS "a" FROM "items" U0 WHERE U0."user_id" = ("users"."id") LIMIT 1) ORDER BY "users"."id" ASC

-- shape: new
SELECT "users"."id", "users"."age", "users"."nick", "users"."created", "users"."first_name", "users"."last_name", (SELECT U0."code" AS "code" FROM "items" U0 WHERE U0."user_id" = ("users"."id") ORDER BY U0."price" DESC, U0."id" ASC LIMIT 1) AS "top" FROM "users" ORDER BY "users"."id" ASC

-- shape: new
-- params: 1
SELECT "users"."id", "users"."age", "users"."nick", "users"."created", "users"."first_name", "users"."last_name" FROM "users" WHERE "users"."id" IN (SELECT U0."user_id" AS "user_id" FROM "items" U0 WHERE U0."price" > $1) ORDER BY "users"."id" ASC

-- shape: new
SELECT "users"."id", "users"."age", "users"."nick", "users"."created", "users"."first_name", "users"."last_name", RANK() OVER (PARTITION BY "users"."age" ORDER BY "users"."first_name" ASC, "users"."id" ASC) AS "r" FROM "users" ORDER BY "users"."id" ASC

-- shape: new
-- params: 1
SELECT * FROM ( SELECT "users"."id" AS "col1", "users"."age" AS "col2", "users"."nick" AS "col3", "users"."created" AS "col4", "users"."first_name" AS "col5", "users"."last_name" AS "col6", ROW_NUMBER() OVER (PARTITION BY "users"."age" ORDER BY "users"."first_name" ASC, "users"."id" ASC) AS "r" FROM "users" ORDER BY "users"."id" ASC ) "qualify" WHERE "r" = $1 ORDER BY "col1" ASC

-- shape: new
-- params: 1
SELECT "users"."id", "users"."age", "users"."nick", "users"."created", "users"."first_name", "users"."last_name" FROM "users" WHERE "users"."id" = $1 FOR UPDATE

-- shape: new
-- params: Plato
SELECT "users"."id", "users"."age", "users"."nick", "users"."created", "users"."first_name", "users"."last_name" FROM "users" WHERE "users"."first_name" = $1 FOR UPDATE OF "users" SKIP LOCKED

-- shape: new
SELECT "items"."id", "items"."user_id", "items"."qty", "items"."price", "items"."code", "users"."id", "users"."age", "users"."nick", "users"."created", "users"."first_name", "users"."last_name" FROM "items" INNER JOIN "users" ON ("items"."user_id" = "users"."id") WHERE "items"."user_id" IS NOT NULL ORDER BY "items"."id" ASC FOR NO KEY UPDATE OF "items"

-- shape: new
(SELECT "users"."first_name" AS "first_name" FROM "users") UNION (SELECT "orders"."note" AS "note" FROM "orders") ORDER BY 1 ASC

-- shape: new
-- params: 3
(SELECT "users"."first_name" AS "first_name" FROM "users" WHERE "users"."id" < $1) UNION ALL (SELECT "orders"."note" AS "note" FROM "orders")

-- shape: new
-- params: Plato | philosopher | other
SELECT CASE WHEN "users"."first_name" = $1 THEN $2 ELSE $3 END AS "kind", COUNT(*) AS "c" FROM "users" GROUP BY 1 ORDER BY 1 ASC

-- shape: new
-- params: , 
SELECT ARRAY_AGG("users"."first_name" ORDER BY "users"."id") AS "a", STRING_AGG("users"."first_name", $1 ORDER BY "users"."first_name") AS "b" FROM "users"

-- shape: new
-- params: id | n
SELECT JSONB_AGG(JSON_OBJECT((($1)::text) VALUE "users"."id", (($2)::text) VALUE "users"."first_name" RETURNING JSONB) ORDER BY "users"."id") AS "j" FROM "users"

-- shape: new
-- params: 2026-01-01 06:00:00+00 | 2027-01-01 05:59:59.999999+00 | plato
SELECT "users"."id", "users"."age", "users"."nick", "users"."created", "users"."first_name", "users"."last_name" FROM "users" WHERE ("users"."created" BETWEEN $1 AND $2 AND UPPER("users"."first_name"::text) = UPPER($3))

-- shape: new
DECLARE "_django_curs_140136953969536_sync_1" NO SCROLL CURSOR FOR SELECT "users"."id", "users"."age", "users"."nick", "users"."created", "users"."first_name", "users"."last_name" FROM "users" ORDER BY "users"."id" ASC

-- shape: new
-- params: 1 | 2 | 3
SELECT "users"."id", "users"."age", "users"."nick", "users"."created", "users"."first_name", "users"."last_name" FROM "users" WHERE "users"."id" IN ($1, $2, $3)

-- shape: new
SELECT "users"."id", "users"."age", "users"."nick", "users"."created", "users"."first_name", "users"."last_name" FROM "users" ORDER BY "users"."first_name" DESC NULLS LAST, "users"."id" ASC LIMIT 4

-- shape: new
SELECT "users"."id", "users"."age", "users"."nick", "users"."created", "users"."first_name", "users"."last_name" FROM "users" WHERE (age > 40) ORDER BY "users"."id" ASC

-- shape: new
SELECT "users"."id", "users"."age", "users"."nick", "users"."created", "users"."first_name", "users"."last_name" FROM "users" ORDER BY "users"."id" DESC LIMIT 1

-- shape: new
SELECT "users"."id", "users"."age", "users"."nick", "users"."created", "users"."first_name", "users"."last_name" FROM "users" ORDER BY "users"."id" ASC

-- shape: new
-- params: NULL | dj | Dj | Ango
INSERT INTO "users" ("age", "nick", "created", "first_name", "last_name") VALUES ($1, $2, DEFAULT, $3, $4) RETURNING "users"."id", "users"."created"

-- shape: new
-- params: NULL | b0 | B | 0 | NULL | b1 | B | 1 | NULL | b2 | B | 2
INSERT INTO "users" ("age", "nick", "created", "first_name", "last_name") VALUES ($1, $2, DEFAULT, $3, $4), ($5, $6, DEFAULT, $7, $8), ($9, $10, DEFAULT, $11, $12) RETURNING "users"."id", "users"."created"

-- shape: new
-- params: {60,61} | {1,1} | {1,1} | {0,1} | {sku:C-0,sku:C-1}
INSERT INTO "items" ("id", "user_id", "qty", "price", "code") SELECT * FROM UNNEST(($1)::integer[], ($2)::integer[], ($3)::integer[], ($4)::numeric[], ($5)::varchar[])

-- shape: new
-- params: 1 | NULL | u1 | Up | Sert | 70 | NULL | u2 | Up | New
INSERT INTO "users" ("id", "age", "nick", "created", "first_name", "last_name") VALUES ($1, $2, $3, DEFAULT, $4, $5), ($6, $7, $8, DEFAULT, $9, $10) ON CONFLICT("id") DO UPDATE SET "first_name" = EXCLUDED."first_name", "last_name" = EXCLUDED."last_name" RETURNING "users"."id", "users"."created"

-- shape: new
-- params: 1 | NULL | NULL | Ig | Nored
INSERT INTO "users" ("id", "age", "nick", "created", "first_name", "last_name") VALUES ($1, $2, $3, DEFAULT, $4, $5) ON CONFLICT DO NOTHING

-- shape: new
-- params: 36 | ada | 2026-01-02 03:04:05+00 | Ada | King | 1
UPDATE "users" SET "age" = $1, "nick" = $2, "created" = $3, "first_name" = $4, "last_name" = $5 WHERE "users"."id" = $6

-- shape: new
-- params: Up | Fields | 2
UPDATE "users" SET "first_name" = $1, "last_name" = $2 WHERE "users"."id" = $3

-- shape: new
-- params: 99 | NULL | NULL | Save | New
INSERT INTO "users" ("id", "age", "nick", "created", "first_name", "last_name") VALUES ($1, $2, $3, DEFAULT, $4, $5) RETURNING "users"."id", "users"."created"

-- shape: new
-- params: 1 | Save | Over | 5
UPDATE "users" SET "age" = $1, "nick" = NULL, "created" = DEFAULT, "first_name" = $2, "last_name" = $3 WHERE "users"."id" = $4

-- shape: new
-- params: 1 | Plato
UPDATE "users" SET "age" = ("users"."age" + $1) WHERE "users"."first_name" = $2

-- shape: new
-- params: All | Same | 4
UPDATE "users" SET "first_name" = $1, "last_name" = $2 WHERE "users"."id" < $3

-- shape: new
-- params:  | x |  | 3
UPDATE "users" SET "first_name" = (COALESCE("users"."first_name", $1) || COALESCE($2, $3)) WHERE "users"."id" = $4

-- shape: new
-- params: 3
UPDATE "users" SET "first_name" = UPPER("users"."first_name") WHERE "users"."id" = $1

-- shape: new
-- params: Q
UPDATE "users" SET "first_name" = $1

-- shape: new
-- params: 1 | Plato
UPDATE "items" SET "price" = ("items"."price" + $1) WHERE "items"."id" IN (SELECT U0."id" FROM "items" U0 INNER JOIN "users" U1 ON (U0."user_id" = U1."id") WHERE U1."first_name" = $2)

-- shape: new
-- params: 2
UPDATE "items" SET "price" = ("items"."price" * $1)

-- shape: new
-- params: 1 | 2 | 3
SELECT "users"."id", "users"."age", "users"."nick", "users"."created", "users"."first_name", "users"."last_name" FROM "users" WHERE "users"."id" IN ($1, $2, $3) ORDER BY "users"."id" ASC

-- shape: new
-- params: 1 | Bulk | 2 | Bulk | 3 | Bulk | 1 | U1 | 2 | U2 | 3 | U3 | 1 | 2 | 3
UPDATE "users" SET "first_name" = (CASE WHEN ("users"."id" = $1) THEN $2 WHEN ("users"."id" = $3) THEN $4 WHEN ("users"."id" = $5) THEN $6 ELSE NULL END)::text, "last_name" = (CASE WHEN ("users"."id" = $7) THEN $8 WHEN ("users"."id" = $9) THEN $10 WHEN ("users"."id" = $11) THEN $12 ELSE NULL END)::text WHERE "users"."id" IN ($13, $14, $15)

-- shape: new
-- params: 1 | 2
SELECT "items"."id", "items"."user_id", "items"."qty", "items"."price", "items"."code" FROM "items" WHERE "items"."id" IN ($1, $2) ORDER BY "items"."id" ASC

-- shape: new
-- params: 1 | 0.07000000000 | 2 | 0.1400000000 | 1 | sku:Z | 2 | sku:Z | 1 | 2
UPDATE "items" SET "price" = (CASE WHEN ("items"."id" = $1) THEN $2 WHEN ("items"."id" = $3) THEN $4 ELSE NULL END)::numeric(10, 2), "code" = (CASE WHEN ("items"."id" = $5) THEN $6 WHEN ("items"."id" = $7) THEN $8 ELSE NULL END)::varchar(12) WHERE "items"."id" IN ($9, $10)

-- shape: new
-- params: Plato
DELETE FROM "users" WHERE "users"."first_name" = $1

-- shape: new
-- params: 1
DELETE FROM "items" WHERE "items"."price" < $1

-- shape: new
-- params: Plato
DELETE FROM "items" WHERE "items"."id" IN (SELECT U0."id" FROM "items" U0 INNER JOIN "users" U1 ON (U0."user_id" = U1."id") WHERE U1."first_name" = $1)

-- shape: new
-- params: ada
SELECT "users"."id", "users"."age", "users"."nick", "users"."created", "users"."first_name", "users"."last_name" FROM "users" WHERE "users"."nick" = $1 LIMIT 21

-- shape: new
-- params: ada
SELECT "users"."id", "users"."age", "users"."nick", "users"."created", "users"."first_name", "users"."last_name" FROM "users" WHERE "users"."nick" = $1 LIMIT 21 FOR UPDATE

-- shape: new
-- params: 2026-01-02 03:04:05+00 | Up | Or | 1
UPDATE "users" SET "created" = $1, "first_name" = $2, "last_name" = $3 WHERE "users"."id" = $4

-- shape: new
-- params: 4
SELECT "users"."id", "users"."first_name" FROM "users" WHERE "users"."id" = $1 LIMIT 21
