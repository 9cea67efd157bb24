-- After the SQL that Prisma 5 logs for PostgreSQL (query and join strategies), and the JSON queries of Hasura 2.

-- shape: old
-- params: 3 | 1 | 0
SELECT "public"."users"."id", "public"."users"."full_name", "public"."users"."age", "public"."users"."nick", "public"."users"."created" FROM "public"."users" WHERE ("public"."users"."id" = $1 AND 1=1) LIMIT $2 OFFSET $3

-- shape: old
-- params: 0
SELECT "public"."users"."id", "public"."users"."full_name", "public"."users"."age", "public"."users"."nick", "public"."users"."created" FROM "public"."users" WHERE 1=1 ORDER BY "public"."users"."id" ASC OFFSET $1

-- shape: old
-- params: Plato | 1 | 0
SELECT "public"."users"."id", "public"."users"."full_name" FROM "public"."users" WHERE "public"."users"."full_name" = $1 ORDER BY "public"."users"."id" ASC LIMIT $2 OFFSET $3

-- shape: old
-- params: %a% | 5 | 2
SELECT "public"."users"."id", "public"."users"."full_name" FROM "public"."users" WHERE "public"."users"."full_name"::text ILIKE $1 ORDER BY "public"."users"."full_name" DESC, "public"."users"."id" ASC LIMIT $2 OFFSET $3

-- shape: old
-- params: A% | 0
SELECT "public"."users"."id" FROM "public"."users" WHERE "public"."users"."full_name"::text LIKE $1 ORDER BY "public"."users"."id" OFFSET $2

-- shape: old
-- params: Plato | Sappho | Ada | 0
SELECT "public"."users"."id", "public"."users"."full_name" FROM "public"."users" WHERE "public"."users"."full_name" IN ($1,$2,$3) ORDER BY "public"."users"."id" OFFSET $4

-- shape: old
-- params: Plato | 40 | 0
SELECT "public"."users"."id" FROM "public"."users" WHERE ("public"."users"."full_name" = $1 OR (NOT "public"."users"."age" <= $2) OR "public"."users"."full_name" IS NULL) ORDER BY "public"."users"."id" OFFSET $3

-- shape: old
-- params: 3 | 4 | 0
SELECT "public"."users"."id", "public"."users"."full_name" FROM "public"."users" WHERE "public"."users"."id" >= $1 ORDER BY "public"."users"."id" ASC LIMIT $2 OFFSET $3

-- shape: old
-- params: 0
SELECT COUNT(*) FROM (SELECT "public"."users"."id" FROM "public"."users" WHERE "public"."users"."full_name" IS NOT NULL OFFSET $1) AS "sub"

-- shape: old
-- params: 0
SELECT COUNT(*) AS "_count$_all", COUNT("full_name") AS "_count$full_name" FROM (SELECT "public"."users"."id", "public"."users"."full_name" FROM "public"."users" WHERE 1=1 OFFSET $1) AS "sub"

-- shape: old
-- params: 0
SELECT SUM("price_cents"), AVG("price_cents"), MIN("sku"), MAX("sku") FROM (SELECT "public"."items"."price_cents", "public"."items"."sku" FROM "public"."items" WHERE 1=1 OFFSET $1) AS "sub"

-- shape: old
-- params: 0 | 0
SELECT COUNT(*) AS "_count._all", "public"."users"."full_name", MAX("public"."users"."age") FROM "public"."users" WHERE 1=1 GROUP BY "public"."users"."full_name" HAVING COUNT("public"."users"."id") > $1 ORDER BY "public"."users"."full_name" ASC OFFSET $2

-- shape: old
-- params: 1 | 2 | 3 | 0
SELECT "public"."items"."id", "public"."items"."user_id", "public"."items"."price_cents", "public"."items"."sku", "public"."items"."qty" FROM "public"."items" WHERE "public"."items"."user_id" IN ($1,$2,$3) ORDER BY "public"."items"."id" OFFSET $4

-- shape: old
-- params: 100 | 0
SELECT "public"."users"."id", "public"."users"."full_name" FROM "public"."users" WHERE ("public"."users"."id") IN (SELECT "t1"."user_id" FROM "public"."items" AS "t1" WHERE ("t1"."qty" < $1 AND "t1"."sku" IS NOT NULL AND "t1"."user_id" IS NOT NULL)) ORDER BY "public"."users"."id" OFFSET $2

-- shape: old
-- params: Plato | 0
SELECT "t0"."id", "t0"."price_cents" FROM "public"."items" AS "t0" LEFT JOIN "public"."users" AS "j0" ON ("j0"."id") = ("t0"."user_id") WHERE ("j0"."full_name" = $1 AND ("j0"."id" IS NOT NULL)) ORDER BY "t0"."id" OFFSET $2

-- shape: old
-- params: 0
SELECT "public"."items"."id" FROM "public"."items" LEFT JOIN "public"."users" AS "orderby_1" ON "public"."items"."user_id" = "orderby_1"."id" WHERE 1=1 ORDER BY "orderby_1"."full_name" ASC NULLS FIRST, "public"."items"."id" ASC OFFSET $1

-- params: 0
SELECT "public"."users"."id", COALESCE("aggr_selection_0_Item"."_aggr_count_items", 0) AS "_aggr_count_items" FROM "public"."users" LEFT JOIN (SELECT "public"."items"."user_id", COUNT(*) AS "_aggr_count_items" FROM "public"."items" WHERE 1=1 GROUP BY "public"."items"."user_id") AS "aggr_selection_0_Item" ON ("public"."users"."id" = "aggr_selection_0_Item"."user_id") WHERE 1=1 ORDER BY "public"."users"."id" OFFSET $1

-- shape: old
-- params: 3 | 0
SELECT DISTINCT ON ("public"."users"."full_name") "public"."users"."id", "public"."users"."full_name" FROM "public"."users" WHERE "public"."users"."id" > $1 ORDER BY "public"."users"."full_name" ASC, "public"."users"."id" ASC OFFSET $2

-- shape: old
SELECT "t0"."id", "t0"."full_name", "User_items"."__prisma_data__" AS "items" FROM "public"."users" AS "t0" LEFT JOIN LATERAL (SELECT COALESCE(JSONB_AGG("__prisma_data__"), '[]') AS "__prisma_data__" FROM (SELECT "t3"."__prisma_data__" FROM (SELECT JSONB_BUILD_OBJECT('id', "t2"."id", 'user_id', "t2"."user_id", 'price_cents', "t2"."price_cents", 'sku', "t2"."sku", 'qty', "t2"."qty") AS "__prisma_data__", "t2"."id" FROM (SELECT "t1".* FROM "public"."items" AS "t1" WHERE "t0"."id" = "t1"."user_id" /* root select */) AS "t2" /* inner select */) AS "t3" ORDER BY "t3"."id" ASC /* middle select */) AS "t4" /* outer select */) AS "User_items" ON TRUE ORDER BY "t0"."id"

-- shape: old
SELECT "t0"."id", "t0"."price_cents", "Item_user"."__prisma_data__" AS "user" FROM "public"."items" AS "t0" LEFT JOIN LATERAL (SELECT JSONB_BUILD_OBJECT('id', "t1"."id", 'full_name', "t1"."full_name", 'age', "t1"."age", 'nick', "t1"."nick") AS "__prisma_data__" FROM (SELECT "t1".* FROM "public"."users" AS "t1" WHERE "t0"."user_id" = "t1"."id" LIMIT 1) AS "t1") AS "Item_user" ON TRUE WHERE "t0"."qty" > 0 ORDER BY "t0"."id"

-- shape: old
-- params: Pris Ma | 30 | prisma
INSERT INTO "public"."users" ("full_name","age","nick") VALUES ($1,$2,$3) RETURNING "public"."users"."id", "public"."users"."full_name", "public"."users"."age", "public"."users"."nick", "public"."users"."created"

-- shape: old
-- params: Many One | m1 | Many Two | m2
INSERT INTO "public"."users" ("full_name","nick") VALUES ($1,$2), ($3,$4)

-- shape: old
-- params: Skip Dup | ada | m3
INSERT INTO "public"."users" ("full_name","nick") VALUES ($1,$2), (DEFAULT,$3) ON CONFLICT DO NOTHING

-- shape: old
-- params: 1 | Up Sert | Up Dated | 1
INSERT INTO "public"."users" ("id","full_name") VALUES ($1,$2) ON CONFLICT ("id") DO UPDATE SET "full_name" = $3 WHERE ("public"."users"."id" = $4 AND 1=1) RETURNING "public"."users"."id", "public"."users"."full_name", "public"."users"."age", "public"."users"."nick", "public"."users"."created"

-- shape: old
-- params: 77 | 205 | P-1
INSERT INTO "public"."items" ("id","price_cents","sku","qty") VALUES ($1,$2,$3,DEFAULT) RETURNING "public"."items"."id", "public"."items"."price_cents", "public"."items"."sku"

-- shape: old
-- params: Up Date | 2
UPDATE "public"."users" SET "full_name" = $1 WHERE ("public"."users"."id" = $2 AND 1=1) RETURNING "public"."users"."id", "public"."users"."full_name", "public"."users"."age", "public"."users"."nick", "public"."users"."created"

-- shape: old
-- params: Many Upd | 40
UPDATE "public"."users" SET "full_name" = $1 WHERE "public"."users"."age" > $2

-- shape: old
-- params: 100 | 1
UPDATE "public"."items" SET "price_cents" = ("public"."items"."price_cents" + $1) WHERE ("public"."items"."id" = $2 AND 1=1) RETURNING "public"."items"."id", "public"."items"."price_cents"

-- shape: old
-- params: 2 | 1 | Ada Lovelace
UPDATE "public"."users" SET "age" = "age" + $1 WHERE ("public"."users"."id" IN ($2) AND "public"."users"."full_name" = $3)

-- shape: old
-- params: 3
DELETE FROM "public"."users" WHERE ("public"."users"."id" = $1 AND 1=1) RETURNING "public"."users"."id", "public"."users"."full_name", "public"."users"."age", "public"."users"."nick", "public"."users"."created"

-- shape: old
-- params: Plato
DELETE FROM "public"."users" WHERE "public"."users"."full_name" = $1

-- shape: old
-- params: 5
SELECT to_jsonb(t) AS "user" FROM (SELECT "public"."users"."id", "public"."users"."full_name" FROM "public"."users" WHERE "public"."users"."id" < $1) AS t ORDER BY t.id

-- shape: old
SELECT coalesce(json_agg("root" ORDER BY "root"."id"), '[]') AS "root" FROM (SELECT "_0_root.base"."id", row_to_json((SELECT "_1_e" FROM (SELECT "_0_root.base"."id" AS "id", "_0_root.base"."full_name" AS "full_name") AS "_1_e")) AS "data" FROM (SELECT * FROM "public"."users" WHERE ("public"."users"."full_name") IS NOT NULL LIMIT 100) AS "_0_root.base") AS "root"

-- shape: new
-- params: 3 | 1 | 0
SELECT "public"."users"."id", "public"."users"."age", "public"."users"."nick", "public"."users"."created", "public"."users"."first_name", "public"."users"."last_name" FROM "public"."users" WHERE ("public"."users"."id" = $1 AND 1=1) LIMIT $2 OFFSET $3

-- shape: new
-- params: 0
SELECT "public"."users"."id", "public"."users"."age", "public"."users"."nick", "public"."users"."created", "public"."users"."first_name", "public"."users"."last_name" FROM "public"."users" WHERE 1=1 ORDER BY "public"."users"."id" ASC OFFSET $1

-- shape: new
-- params: Plato | 1 | 0
SELECT "public"."users"."id", "public"."users"."first_name" FROM "public"."users" WHERE "public"."users"."first_name" = $1 ORDER BY "public"."users"."id" ASC LIMIT $2 OFFSET $3

-- shape: new
-- params: %a% | 5 | 2
SELECT "public"."users"."id", "public"."users"."first_name" FROM "public"."users" WHERE "public"."users"."first_name"::text ILIKE $1 ORDER BY "public"."users"."first_name" DESC, "public"."users"."id" ASC LIMIT $2 OFFSET $3

-- shape: new
-- params: A% | 0
SELECT "public"."users"."id" FROM "public"."users" WHERE "public"."users"."first_name"::text LIKE $1 ORDER BY "public"."users"."id" OFFSET $2

-- shape: new
-- params: Plato | Sappho | Ada | 0
SELECT "public"."users"."id", "public"."users"."first_name" FROM "public"."users" WHERE "public"."users"."first_name" IN ($1,$2,$3) ORDER BY "public"."users"."id" OFFSET $4

-- shape: new
-- params: Plato | 40 | 0
SELECT "public"."users"."id" FROM "public"."users" WHERE ("public"."users"."first_name" = $1 OR (NOT "public"."users"."age" <= $2) OR "public"."users"."first_name" IS NULL) ORDER BY "public"."users"."id" OFFSET $3

-- shape: new
-- params: 3 | 4 | 0
SELECT "public"."users"."id", "public"."users"."first_name" FROM "public"."users" WHERE "public"."users"."id" >= $1 ORDER BY "public"."users"."id" ASC LIMIT $2 OFFSET $3

-- shape: new
-- params: 0
SELECT COUNT(*) FROM (SELECT "public"."users"."id" FROM "public"."users" WHERE "public"."users"."first_name" IS NOT NULL OFFSET $1) AS "sub"

-- shape: new
-- params: 0
SELECT COUNT(*) AS "_count$_all", COUNT("first_name") AS "_count$first_name" FROM (SELECT "public"."users"."id", "public"."users"."first_name" FROM "public"."users" WHERE 1=1 OFFSET $1) AS "sub"

-- shape: new
-- params: 0
SELECT SUM("price"), AVG("price"), MIN("code"), MAX("code") FROM (SELECT "public"."items"."price", "public"."items"."code" FROM "public"."items" WHERE 1=1 OFFSET $1) AS "sub"

-- shape: new
-- params: 0 | 0
SELECT COUNT(*) AS "_count._all", "public"."users"."first_name", MAX("public"."users"."age") FROM "public"."users" WHERE 1=1 GROUP BY "public"."users"."first_name" HAVING COUNT("public"."users"."id") > $1 ORDER BY "public"."users"."first_name" ASC OFFSET $2

-- shape: new
-- params: 1 | 2 | 3 | 0
SELECT "public"."items"."id", "public"."items"."user_id", "public"."items"."qty", "public"."items"."price", "public"."items"."code" FROM "public"."items" WHERE "public"."items"."user_id" IN ($1,$2,$3) ORDER BY "public"."items"."id" OFFSET $4

-- shape: new
-- params: 100 | 0
SELECT "public"."users"."id", "public"."users"."first_name" FROM "public"."users" WHERE ("public"."users"."id") IN (SELECT "t1"."user_id" FROM "public"."items" AS "t1" WHERE ("t1"."qty" < $1 AND "t1"."code" IS NOT NULL AND "t1"."user_id" IS NOT NULL)) ORDER BY "public"."users"."id" OFFSET $2

-- shape: new
-- params: Plato | 0
SELECT "t0"."id", "t0"."price" FROM "public"."items" AS "t0" LEFT JOIN "public"."users" AS "j0" ON ("j0"."id") = ("t0"."user_id") WHERE ("j0"."first_name" = $1 AND ("j0"."id" IS NOT NULL)) ORDER BY "t0"."id" OFFSET $2

-- shape: new
-- params: 0
SELECT "public"."items"."id" FROM "public"."items" LEFT JOIN "public"."users" AS "orderby_1" ON "public"."items"."user_id" = "orderby_1"."id" WHERE 1=1 ORDER BY "orderby_1"."first_name" ASC NULLS FIRST, "public"."items"."id" ASC OFFSET $1

-- shape: new
-- params: 3 | 0
SELECT DISTINCT ON ("public"."users"."first_name") "public"."users"."id", "public"."users"."first_name" FROM "public"."users" WHERE "public"."users"."id" > $1 ORDER BY "public"."users"."first_name" ASC, "public"."users"."id" ASC OFFSET $2

-- shape: new
SELECT "t0"."id", "t0"."first_name", "User_items"."__prisma_data__" AS "items" FROM "public"."users" AS "t0" LEFT JOIN LATERAL (SELECT COALESCE(JSONB_AGG("__prisma_data__"), '[]') AS "__prisma_data__" FROM (SELECT "t3"."__prisma_data__" FROM (SELECT JSONB_BUILD_OBJECT('id', "t2"."id", 'user_id', "t2"."user_id", 'qty', "t2"."qty", 'price', "t2"."price", 'code', "t2"."code") AS "__prisma_data__", "t2"."id" FROM (SELECT "t1".* FROM "public"."items" AS "t1" WHERE "t0"."id" = "t1"."user_id" /* root select */) AS "t2" /* inner select */) AS "t3" ORDER BY "t3"."id" ASC /* middle select */) AS "t4" /* outer select */) AS "User_items" ON TRUE ORDER BY "t0"."id"

-- shape: new
SELECT "t0"."id", "t0"."price", "Item_user"."__prisma_data__" AS "user" FROM "public"."items" AS "t0" LEFT JOIN LATERAL (SELECT JSONB_BUILD_OBJECT('id', "t1"."id", 'age', "t1"."age", 'nick', "t1"."nick", 'first_name', "t1"."first_name", 'last_name', "t1"."last_name") AS "__prisma_data__" FROM (SELECT "t1".* FROM "public"."users" AS "t1" WHERE "t0"."user_id" = "t1"."id" LIMIT 1) AS "t1") AS "Item_user" ON TRUE WHERE "t0"."qty" > 0 ORDER BY "t0"."id"

-- shape: new
-- params: Pris | Ma | 30 | prisma
INSERT INTO "public"."users" ("first_name","last_name","age","nick") VALUES ($1,$2,$3,$4) RETURNING "public"."users"."id", "public"."users"."age", "public"."users"."nick", "public"."users"."created", "public"."users"."first_name", "public"."users"."last_name"

-- shape: new
-- params: Many | One | m1 | Many | Two | m2
INSERT INTO "public"."users" ("first_name","last_name","nick") VALUES ($1,$2,$3), ($4,$5,$6)

-- shape: new
-- params: Skip | Dup | ada | m3
INSERT INTO "public"."users" ("first_name","last_name","nick") VALUES ($1,$2,$3), (DEFAULT,DEFAULT,$4) ON CONFLICT DO NOTHING

-- shape: new
-- params: 1 | Up | Sert | Up | Dated | 1
INSERT INTO "public"."users" ("id","first_name","last_name") VALUES ($1,$2,$3) ON CONFLICT ("id") DO UPDATE SET "first_name" = $4, "last_name" = $5 WHERE ("public"."users"."id" = $6 AND 1=1) RETURNING "public"."users"."id", "public"."users"."age", "public"."users"."nick", "public"."users"."created", "public"."users"."first_name", "public"."users"."last_name"

-- shape: new
-- params: 77 | 2.05 | sku:P-1
INSERT INTO "public"."items" ("id","price","code","qty") VALUES ($1,$2,$3,DEFAULT) RETURNING "public"."items"."id", "public"."items"."price", "public"."items"."code"

-- shape: new
-- params: Up | Date | 2
UPDATE "public"."users" SET "first_name" = $1, "last_name" = $2 WHERE ("public"."users"."id" = $3 AND 1=1) RETURNING "public"."users"."id", "public"."users"."age", "public"."users"."nick", "public"."users"."created", "public"."users"."first_name", "public"."users"."last_name"

-- shape: new
-- params: Many | Upd | 40
UPDATE "public"."users" SET "first_name" = $1, "last_name" = $2 WHERE "public"."users"."age" > $3

-- shape: new
-- params: 1.00 | 1
UPDATE "public"."items" SET "price" = ("public"."items"."price" + $1) WHERE ("public"."items"."id" = $2 AND 1=1) RETURNING "public"."items"."id", "public"."items"."price"

-- shape: new
-- params: 2 | 1 | Ada
UPDATE "public"."users" SET "age" = "age" + $1 WHERE ("public"."users"."id" IN ($2) AND "public"."users"."first_name" = $3)

-- shape: new
-- params: 3
DELETE FROM "public"."users" WHERE ("public"."users"."id" = $1 AND 1=1) RETURNING "public"."users"."id", "public"."users"."age", "public"."users"."nick", "public"."users"."created", "public"."users"."first_name", "public"."users"."last_name"

-- shape: new
-- params: Plato
DELETE FROM "public"."users" WHERE "public"."users"."first_name" = $1

-- shape: new
-- params: 5
SELECT to_jsonb(t) AS "user" FROM (SELECT "public"."users"."id", "public"."users"."first_name" FROM "public"."users" WHERE "public"."users"."id" < $1) AS t ORDER BY t.id

-- shape: new
SELECT coalesce(json_agg("root" ORDER BY "root"."id"), '[]') AS "root" FROM (SELECT "_0_root.base"."id", row_to_json((SELECT "_1_e" FROM (SELECT "_0_root.base"."id" AS "id", "_0_root.base"."first_name" AS "first_name") AS "_1_e")) AS "data" FROM (SELECT * FROM "public"."users" WHERE ("public"."users"."first_name") IS NOT NULL LIMIT 100) AS "_0_root.base") AS "root"
