-- After the SQL that ActiveRecord 7.1 (Rails) publishes in its documentation and logs for PostgreSQL.

-- params: 3 | 1
SELECT "users".* FROM "users" WHERE "users"."id" = $1 LIMIT $2

-- shape: old
-- params: Plato | 1
SELECT "users".* FROM "users" WHERE "users"."full_name" = $1 LIMIT $2

-- params: 1
SELECT "users".* FROM "users" ORDER BY "users"."id" ASC LIMIT $1

-- shape: old
-- params: 1
SELECT "users".* FROM "users" ORDER BY "users"."full_name" DESC, "users"."id" DESC LIMIT $1

-- shape: old
-- params: 2 | 3
SELECT "users".* FROM "users" ORDER BY "users"."full_name" ASC, "users"."id" ASC LIMIT $1 OFFSET $2

-- shape: old
-- params: 30 | 4
SELECT COUNT(count_column) FROM (SELECT "users"."full_name" AS count_column FROM "users" WHERE "users"."age" > $1 ORDER BY "users"."id" LIMIT $2) subquery_for_count

-- shape: old
-- params: 1
SELECT 1 AS one FROM "users" WHERE "users"."full_name" IS NULL LIMIT $1

-- shape: old
-- params: Plato | 3 | 1
SELECT 1 AS one FROM "users" WHERE "users"."full_name" = $1 AND "users"."id" != $2 LIMIT $3

-- shape: old
SELECT COUNT(*) FROM "users" WHERE "users"."full_name" IS NOT NULL

-- shape: old
SELECT COUNT(DISTINCT "users"."full_name") FROM "users"

-- shape: old
SELECT COUNT(*) AS "count_all", "users"."full_name" AS "users_full_name" FROM "users" GROUP BY "users"."full_name"

-- shape: old
SELECT SUM("items"."price_cents") AS "sum_price_cents", "items"."user_id" AS "items_user_id" FROM "items" GROUP BY "items"."user_id" HAVING (SUM(price_cents) > 1)

-- shape: old
SELECT "users"."id", "users"."full_name" FROM "users" WHERE "users"."full_name" IN ('Plato', 'Sappho', 'Ada') ORDER BY "users"."id"

-- shape: old
SELECT "users".* FROM "users" WHERE ("users"."full_name" = 'Plato' OR "users"."full_name" IS NULL) ORDER BY "users"."id" ASC

-- shape: old
SELECT "users".* FROM "users" WHERE (full_name ILIKE '%a%') ORDER BY full_name, id

-- shape: old
SELECT DISTINCT "users"."full_name" FROM "users" ORDER BY "users"."full_name" ASC

-- params: 1
SELECT "items".* FROM "items" WHERE "items"."user_id" = $1 ORDER BY "items"."id"

-- params: 1 | 2 | 5
SELECT "items".* FROM "items" WHERE "items"."user_id" IN ($1, $2, $3)

-- shape: old
SELECT "users".* FROM "users" INNER JOIN "items" ON "items"."user_id" = "users"."id" WHERE "items"."price_cents" > 1 ORDER BY "users"."id", "items"."id"

SELECT DISTINCT "users".* FROM "users" LEFT OUTER JOIN "items" ON "items"."user_id" = "users"."id" WHERE "items"."id" IS NULL ORDER BY "users"."id"

-- shape: old
SELECT "users"."id" AS t0_r0, "users"."full_name" AS t0_r1, "users"."age" AS t0_r2, "users"."nick" AS t0_r3, "users"."created" AS t0_r4, "items"."id" AS t1_r0, "items"."user_id" AS t1_r1, "items"."price_cents" AS t1_r2, "items"."sku" AS t1_r3, "items"."qty" AS t1_r4 FROM "users" LEFT OUTER JOIN "items" ON "items"."user_id" = "users"."id" WHERE "users"."full_name" != 'Sappho' ORDER BY "users"."full_name" ASC, "users"."id", "items"."id"

-- shape: old
-- params: 3
SELECT DISTINCT "users"."full_name" AS alias_0, "users"."id" FROM "users" LEFT OUTER JOIN "items" ON "items"."user_id" = "users"."id" WHERE "items"."qty" > 0 ORDER BY "users"."full_name" ASC, "users"."id" LIMIT $1

-- shape: old
SELECT "users".* FROM "users" WHERE "users"."id" IN (SELECT "items"."user_id" FROM "items" WHERE "items"."price_cents" > 1) ORDER BY "users"."id"

SELECT "users".* FROM "users" WHERE EXISTS (SELECT 1 FROM "orders" WHERE "orders"."user_id" = "users"."id") ORDER BY "users"."id" ASC

-- params: 1 | 1
SELECT "users".* FROM "users" WHERE "users"."id" = $1 LIMIT $2 FOR UPDATE

-- shape: old
-- params: 2
SELECT "users".* FROM "users" WHERE "users"."full_name" IS NOT NULL ORDER BY "users"."id" ASC LIMIT $1 FOR UPDATE SKIP LOCKED

-- params: 2 | 1000
SELECT "users".* FROM "users" WHERE "users"."id" > $1 ORDER BY "users"."id" ASC LIMIT $2

-- shape: old
SELECT "users"."id", "users"."full_name", ROW_NUMBER() OVER (PARTITION BY "users"."age" ORDER BY "users"."full_name", "users"."id") AS rn FROM "users" ORDER BY "users"."id"

-- shape: old
SELECT "users".* FROM (SELECT DISTINCT ON ("users"."age") "users".* FROM "users" ORDER BY "users"."age", "users"."full_name", "users"."id") "users" ORDER BY "users"."id"

-- shape: old
-- params: Rail Way | 12 | rails | 2026-03-04 05:06:07.123456
INSERT INTO "users" ("full_name", "age", "nick", "created") VALUES ($1, $2, $3, $4) RETURNING "id"

-- shape: old
-- params: 70 | 1 | 205 | P-1 | 3
INSERT INTO "items" ("id", "user_id", "price_cents", "sku", "qty") VALUES ($1, $2, $3, $4, $5)

INSERT INTO "users" DEFAULT VALUES RETURNING "id"

-- shape: old
INSERT INTO "users" ("full_name","nick") VALUES ('Ins All', 'i1'), ('Ins Two', 'ada') ON CONFLICT DO NOTHING RETURNING "id"

-- shape: old
INSERT INTO "users" ("full_name","nick") VALUES ('Up All', 'ada'), ('Up New', 'upnew') ON CONFLICT ("nick") DO UPDATE SET "full_name"=excluded."full_name" RETURNING "id"

-- shape: old
INSERT INTO "users" ("id","full_name") VALUES (1, 'Up Sert'), (71, 'New One') ON CONFLICT ("id") DO UPDATE SET "created"=(CASE WHEN ("users"."full_name" IS NOT DISTINCT FROM excluded."full_name") THEN "users"."created" ELSE date_trunc('century', CURRENT_TIMESTAMP) END),"full_name"=excluded."full_name" RETURNING "id"

-- shape: old
-- params: Ada King | 1
UPDATE "users" SET "full_name" = $1 WHERE "users"."id" = $2

-- shape: old
-- params: Lock Ed | 37 | 1 | 36
UPDATE "users" SET "full_name" = $1, "age" = $2 WHERE "users"."id" = $3 AND "users"."age" = $4

-- shape: old
UPDATE "users" SET full_name = UPPER(full_name) WHERE "users"."age" > 40

-- shape: old
UPDATE "items" SET "price_cents" = COALESCE("items"."price_cents", 0) + 1 WHERE "items"."user_id" = 1

-- shape: old
UPDATE "items" SET "qty" = COALESCE("qty", 0) - 1 WHERE "items"."sku" = 'A-1'

-- shape: old
UPDATE "users" SET "age" = 1 WHERE "users"."id" IN (SELECT "users"."id" FROM "users" INNER JOIN "items" ON "items"."user_id" = "users"."id" WHERE "users"."full_name" = 'Plato')

-- params: 2
DELETE FROM "users" WHERE "users"."id" = $1

-- shape: old
DELETE FROM "users" WHERE "users"."full_name" = 'Plato'

-- params: 1 | 36
DELETE FROM "users" WHERE "users"."id" = $1 AND "users"."age" = $2

-- shape: new
-- params: Plato | 1
SELECT "users".* FROM "users" WHERE "users"."first_name" = $1 LIMIT $2

-- shape: new
-- params: 1
SELECT "users".* FROM "users" ORDER BY "users"."first_name" DESC, "users"."id" DESC LIMIT $1

-- shape: new
-- params: 2 | 3
SELECT "users".* FROM "users" ORDER BY "users"."first_name" ASC, "users"."id" ASC LIMIT $1 OFFSET $2

-- shape: new
-- params: 30 | 4
SELECT COUNT(count_column) FROM (SELECT "users"."first_name" AS count_column FROM "users" WHERE "users"."age" > $1 ORDER BY "users"."id" LIMIT $2) subquery_for_count

-- shape: new
-- params: 1
SELECT 1 AS one FROM "users" WHERE "users"."first_name" IS NULL LIMIT $1

-- shape: new
-- params: Plato | 3 | 1
SELECT 1 AS one FROM "users" WHERE "users"."first_name" = $1 AND "users"."id" != $2 LIMIT $3

-- shape: new
SELECT COUNT(*) FROM "users" WHERE "users"."first_name" IS NOT NULL

-- shape: new
SELECT COUNT(DISTINCT "users"."first_name") FROM "users"

-- shape: new
SELECT COUNT(*) AS "count_all", "users"."first_name" AS "users_first_name" FROM "users" GROUP BY "users"."first_name"

-- shape: new
SELECT SUM("items"."price") AS "sum_price", "items"."user_id" AS "items_user_id" FROM "items" GROUP BY "items"."user_id" HAVING (SUM(price) > 1)

-- shape: new
SELECT "users"."id", "users"."first_name" FROM "users" WHERE "users"."first_name" IN ('Plato', 'Sappho', 'Ada') ORDER BY "users"."id"

-- shape: new
SELECT "users".* FROM "users" WHERE ("users"."first_name" = 'Plato' OR "users"."first_name" IS NULL) ORDER BY "users"."id" ASC

-- shape: new
SELECT "users".* FROM "users" WHERE (first_name ILIKE '%a%') ORDER BY first_name, id

-- shape: new
SELECT DISTINCT "users"."first_name" FROM "users" ORDER BY "users"."first_name" ASC

-- shape: new
SELECT "users".* FROM "users" INNER JOIN "items" ON "items"."user_id" = "users"."id" WHERE "items"."price" > 1 ORDER BY "users"."id", "items"."id"

-- shape: new
SELECT "users"."id" AS t0_r0, "users"."age" AS t0_r1, "users"."nick" AS t0_r2, "users"."created" AS t0_r3, "users"."first_name" AS t0_r4, "users"."last_name" AS t0_r5, "items"."id" AS t1_r0, "items"."user_id" AS t1_r1, "items"."qty" AS t1_r2, "items"."price" AS t1_r3, "items"."code" AS t1_r4 FROM "users" LEFT OUTER JOIN "items" ON "items"."user_id" = "users"."id" WHERE "users"."first_name" != 'Sappho' ORDER BY "users"."first_name" ASC, "users"."id", "items"."id"

-- shape: new
-- params: 3
SELECT DISTINCT "users"."first_name" AS alias_0, "users"."id" FROM "users" LEFT OUTER JOIN "items" ON "items"."user_id" = "users"."id" WHERE "items"."qty" > 0 ORDER BY "users"."first_name" ASC, "users"."id" LIMIT $1

-- shape: new
SELECT "users".* FROM "users" WHERE "users"."id" IN (SELECT "items"."user_id" FROM "items" WHERE "items"."price" > 1) ORDER BY "users"."id"

-- shape: new
-- params: 2
SELECT "users".* FROM "users" WHERE "users"."first_name" IS NOT NULL ORDER BY "users"."id" ASC LIMIT $1 FOR UPDATE SKIP LOCKED

-- shape: new
SELECT "users"."id", "users"."first_name", ROW_NUMBER() OVER (PARTITION BY "users"."age" ORDER BY "users"."first_name", "users"."id") AS rn FROM "users" ORDER BY "users"."id"

-- shape: new
SELECT "users".* FROM (SELECT DISTINCT ON ("users"."age") "users".* FROM "users" ORDER BY "users"."age", "users"."first_name", "users"."id") "users" ORDER BY "users"."id"

-- shape: new
-- params: Rail | Way | 12 | rails | 2026-03-04 05:06:07.123456
INSERT INTO "users" ("first_name", "last_name", "age", "nick", "created") VALUES ($1, $2, $3, $4, $5) RETURNING "id"

-- shape: new
-- params: 70 | 1 | 2.05 | sku:P-1 | 3
INSERT INTO "items" ("id", "user_id", "price", "code", "qty") VALUES ($1, $2, $3, $4, $5)

-- shape: new
INSERT INTO "users" ("first_name", "last_name","nick") VALUES ('Ins', 'All', 'i1'), ('Ins', 'Two', 'ada') ON CONFLICT DO NOTHING RETURNING "id"

-- shape: new
INSERT INTO "users" ("first_name", "last_name","nick") VALUES ('Up', 'All', 'ada'), ('Up', 'New', 'upnew') ON CONFLICT ("nick") DO UPDATE SET "first_name"=excluded."first_name","last_name"=excluded."last_name" RETURNING "id"

-- shape: new
INSERT INTO "users" ("id","first_name","last_name") VALUES (1, 'Up', 'Sert'), (71, 'New', 'One') ON CONFLICT ("id") DO UPDATE SET "created"=(CASE WHEN ("users"."first_name" IS NOT DISTINCT FROM excluded."first_name" AND "users"."last_name" IS NOT DISTINCT FROM excluded."last_name") THEN "users"."created" ELSE date_trunc('century', CURRENT_TIMESTAMP) END),"first_name"=excluded."first_name","last_name"=excluded."last_name" RETURNING "id"

-- shape: new
-- params: Ada | King | 1
UPDATE "users" SET "first_name" = $1, "last_name" = $2 WHERE "users"."id" = $3

-- shape: new
-- params: Lock | Ed | 37 | 1 | 36
UPDATE "users" SET "first_name" = $1, "last_name" = $2, "age" = $3 WHERE "users"."id" = $4 AND "users"."age" = $5

-- shape: new
UPDATE "users" SET first_name = UPPER(first_name) WHERE "users"."age" > 40

-- shape: new
UPDATE "items" SET "price" = COALESCE("items"."price", 0) + 1 WHERE "items"."user_id" = 1

-- shape: new
UPDATE "items" SET "qty" = COALESCE("qty", 0) - 1 WHERE "items"."code" = 'sku:A-1'

-- shape: new
UPDATE "users" SET "age" = 1 WHERE "users"."id" IN (SELECT "users"."id" FROM "users" INNER JOIN "items" ON "items"."user_id" = "users"."id" WHERE "users"."first_name" = 'Plato')

-- shape: new
DELETE FROM "users" WHERE "users"."first_name" = 'Plato'
