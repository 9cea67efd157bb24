-- After what Sequelize 6, Knex 3, TypeORM 0.3 and Npgsql 8 send.
-- Sequelize: describeTable, showIndex, foreign keys
SELECT pk.constraint_type as "Constraint", c.column_name as "Field", c.column_default as "Default", c.is_nullable as "Null",
       (CASE WHEN c.udt_name = 'hstore' THEN c.udt_name ELSE c.data_type END)
         || (CASE WHEN c.character_maximum_length IS NOT NULL THEN '(' || c.character_maximum_length || ')' ELSE '' END) as "Type",
       (SELECT array_agg(e.enumlabel) FROM pg_catalog.pg_type t JOIN pg_catalog.pg_enum e ON t.oid=e.enumtypid WHERE t.typname=c.udt_name) AS "special",
       (SELECT pgd.description FROM pg_catalog.pg_statio_all_tables AS st
         INNER JOIN pg_catalog.pg_description pgd on (pgd.objoid=st.relid) WHERE c.ordinal_position=pgd.objsubid AND c.table_name=st.relname) AS "Comment"
  FROM information_schema.columns c
  LEFT JOIN (SELECT tc.table_schema, tc.table_name, cu.column_name, tc.constraint_type
               FROM information_schema.TABLE_CONSTRAINTS tc JOIN information_schema.KEY_COLUMN_USAGE cu
                 ON tc.table_schema=cu.table_schema and tc.table_name=cu.table_name
                and tc.constraint_name=cu.constraint_name and tc.constraint_type='PRIMARY KEY') pk
    ON pk.table_schema=c.table_schema AND pk.table_name=c.table_name AND pk.column_name=c.column_name
 WHERE c.table_name = 'users' AND c.table_schema = 'public'

SELECT i.relname AS name, ix.indisprimary AS primary, ix.indisunique AS unique, ix.indkey AS indkey,
       array_agg(a.attnum) as column_indexes, array_agg(a.attname) AS column_names, pg_get_indexdef(ix.indexrelid) AS definition
  FROM pg_class t, pg_class i, pg_index ix, pg_attribute a
 WHERE t.oid = ix.indrelid AND i.oid = ix.indexrelid AND a.attrelid = t.oid AND t.relkind = 'r' and t.relname = 'orders'
 GROUP BY i.relname, ix.indexrelid, ix.indisprimary, ix.indisunique, ix.indkey ORDER BY i.relname

SELECT i.relname AS name, ix.indkey, array_agg(a.attname ORDER BY a.attnum) AS column_names, pg_get_indexdef(ix.indexrelid) AS definition
  FROM pg_class t, pg_class i, pg_index ix, pg_attribute a
 WHERE t.oid = ix.indrelid AND i.oid = ix.indexrelid AND a.attrelid = t.oid AND t.relkind = 'r' and t.relname = 'users'
   AND a.attnum > 0 AND NOT a.attisdropped
 GROUP BY i.relname, ix.indexrelid, ix.indkey ORDER BY i.relname

SELECT DISTINCT tc.constraint_name as constraint_name, tc.constraint_schema as constraint_schema, tc.constraint_catalog as constraint_catalog,
       tc.table_name as table_name, kcu.column_name as column_name, ccu.table_name AS referenced_table_name, ccu.column_name AS referenced_column_name
  FROM information_schema.table_constraints AS tc
  JOIN information_schema.key_column_usage AS kcu ON tc.constraint_name = kcu.constraint_name
  JOIN information_schema.constraint_column_usage AS ccu ON ccu.constraint_name = tc.constraint_name
 WHERE constraint_type = 'FOREIGN KEY' AND tc.table_name = 'orders'

-- Knex: columnInfo, hasColumn
-- params: users
select * from information_schema.columns where table_name = $1 and table_catalog = current_database() and table_schema = current_schema()

-- params: users | full_name
select "column_name" from "information_schema"."columns" where "table_name" = $1 and "column_name" = $2 and table_schema = current_schema()

-- params: users | first_name
select "column_name" from "information_schema"."columns" where "table_name" = $1 and "column_name" = $2 and table_schema = current_schema()

-- TypeORM
SELECT columns.*,
       pg_catalog.col_description(('"' || table_catalog || '"."' || table_schema || '"."' || table_name || '"')::regclass::oid, ordinal_position) AS description,
       ('"' || "udt_schema" || '"."' || "udt_name" || '"')::"regtype"::text AS "regtype",
       pg_catalog.format_type("col_attr"."atttypid", "col_attr"."atttypmod") AS "format_type"
  FROM "information_schema"."columns"
  LEFT JOIN "pg_catalog"."pg_attribute" AS "col_attr" ON "col_attr"."attname" = "columns"."column_name" AND "col_attr"."attrelid" =
       (SELECT "cls"."oid" FROM "pg_catalog"."pg_class" AS "cls" LEFT JOIN "pg_catalog"."pg_namespace" AS "ns" ON "ns"."oid" = "cls"."relnamespace"
         WHERE "cls"."relname" = "columns"."table_name" AND "ns"."nspname" = "columns"."table_schema")
 WHERE ("table_schema" = 'public' AND "table_name" = 'users')

SELECT "ns"."nspname" AS "table_schema", "t"."relname" AS "table_name", "cnst"."conname" AS "constraint_name",
       pg_get_constraintdef("cnst"."oid") AS "expression",
       CASE "cnst"."contype" WHEN 'p' THEN 'PRIMARY' WHEN 'u' THEN 'UNIQUE' WHEN 'c' THEN 'CHECK' WHEN 'x' THEN 'EXCLUDE' END AS "constraint_type",
       "a"."attname" AS "column_name"
  FROM "pg_constraint" "cnst"
 INNER JOIN "pg_class" "t" ON "t"."oid" = "cnst"."conrelid"
 INNER JOIN "pg_namespace" "ns" ON "ns"."oid" = "cnst"."connamespace"
  LEFT JOIN "pg_attribute" "a" ON "a"."attrelid" = "cnst"."conrelid" AND "a"."attnum" = ANY ("cnst"."conkey")
 WHERE "t"."relkind" IN ('r', 'p') AND (("ns"."nspname" = 'public' AND "t"."relname" = 'users'))

SELECT "ns"."nspname" AS "table_schema", "t"."relname" AS "table_name", "i"."relname" AS "constraint_name", "a"."attname" AS "column_name",
       CASE "ix"."indisunique" WHEN 't' THEN 'TRUE' ELSE 'FALSE' END AS "is_unique",
       pg_get_expr("ix"."indpred", "ix"."indrelid") AS "condition", "types"."typname" AS "type_name", "am"."amname" AS "index_type"
  FROM "pg_class" "t"
 INNER JOIN "pg_index" "ix" ON "ix"."indrelid" = "t"."oid"
 INNER JOIN "pg_attribute" "a" ON "a"."attrelid" = "t"."oid" AND "a"."attnum" = ANY ("ix"."indkey")
 INNER JOIN "pg_namespace" "ns" ON "ns"."oid" = "t"."relnamespace"
 INNER JOIN "pg_class" "i" ON "i"."oid" = "ix"."indexrelid"
 INNER JOIN "pg_type" "types" ON "types"."oid" = "a"."atttypid"
 INNER JOIN "pg_am" "am" ON "i"."relam" = "am"."oid"
  LEFT JOIN "pg_constraint" "cnst" ON "cnst"."conname" = "i"."relname"
 WHERE "t"."relkind" IN ('r', 'p') AND "cnst"."contype" IS NULL AND (("ns"."nspname" = 'public' AND "t"."relname" = 'users'))

SELECT "con"."conname" AS "constraint_name", "con"."nspname" AS "table_schema", "con"."relname" AS "table_name", "att2"."attname" AS "column_name",
       "ns"."nspname" AS "referenced_table_schema", "cl"."relname" AS "referenced_table_name", "att"."attname" AS "referenced_column_name",
       "con"."confdeltype" AS "on_delete", "con"."confupdtype" AS "on_update"
  FROM (SELECT UNNEST ("con1"."conkey") AS "parent", UNNEST ("con1"."confkey") AS "child", "con1"."confrelid", "con1"."conrelid", "con1"."conname",
               "con1"."contype", "ns"."nspname", "cl"."relname", "con1"."confdeltype", "con1"."confupdtype"
          FROM "pg_class" "cl"
         INNER JOIN "pg_namespace" "ns" ON "cl"."relnamespace" = "ns"."oid"
         INNER JOIN "pg_constraint" "con1" ON "con1"."conrelid" = "cl"."oid"
         WHERE "con1"."contype" = 'f' AND (("ns"."nspname" = 'public' AND "cl"."relname" = 'orders'))) "con"
 INNER JOIN "pg_attribute" "att" ON "att"."attrelid" = "con"."confrelid" AND "att"."attnum" = "con"."child"
 INNER JOIN "pg_class" "cl" ON "cl"."oid" = "con"."confrelid" AND "cl"."relispartition" = 'f'
 INNER JOIN "pg_namespace" "ns" ON "cl"."relnamespace" = "ns"."oid"
 INNER JOIN "pg_attribute" "att2" ON "att2"."attrelid" = "con"."conrelid" AND "att2"."attnum" = "con"."parent"

-- Npgsql: types at connect, composite types among them, and GetColumnSchema
SELECT ns.nspname, typ.typname, typ.typtype, typ.typnotnull
  FROM pg_type AS typ
  JOIN pg_namespace AS ns ON (ns.oid = typ.typnamespace)
  LEFT JOIN pg_class AS cls ON (cls.oid = typ.typrelid)
 WHERE typ.typtype IN ('b', 'r', 'm', 'e', 'd') OR (typ.typtype = 'c' AND cls.relkind = 'c') OR (typ.typtype = 'p' AND typ.typname IN ('record', 'void', 'unknown'))
 ORDER BY CASE WHEN typ.typtype IN ('b', 'e', 'p') THEN 0 WHEN typ.typtype = 'c' THEN 1 ELSE 2 END, ns.nspname, typ.typname

SELECT typ.oid, att.attname, att.atttypid
  FROM pg_type AS typ
  JOIN pg_namespace AS ns ON (ns.oid = typ.typnamespace)
  JOIN pg_class AS cls ON (cls.oid = typ.typrelid)
  JOIN pg_attribute AS att ON (att.attrelid = typ.typrelid)
 WHERE (typ.typtype = 'c' AND (cls.relkind = 'c' OR ns.nspname = 'public')) AND att.attnum > 0 AND NOT att.attisdropped
   AND cls.relname IN ('users', 'orders')
 ORDER BY cls.relname, att.attnum

SELECT typ.oid AS typoid, nspname, relname, attname, attrelid, attnum, attnotnull, attidentity != '' AS isidentity,
       CASE WHEN typ.typtype = 'd' THEN typ.typtypmod ELSE atttypmod END AS typmod,
       CASE WHEN atthasdef THEN (SELECT pg_get_expr(adbin, cls.oid) FROM pg_attrdef WHERE adrelid = cls.oid AND adnum = attr.attnum) ELSE NULL END AS default,
       CASE WHEN col.is_updatable = 'YES' THEN true ELSE false END AS is_updatable,
       EXISTS (SELECT * FROM pg_index WHERE pg_index.indrelid = cls.oid AND pg_index.indisprimary AND attnum = ANY (indkey)) AS isprimarykey,
       EXISTS (SELECT * FROM pg_index WHERE pg_index.indrelid = cls.oid AND pg_index.indisunique AND pg_index.indnkeyatts = 1 AND attnum = pg_index.indkey[0]) AS isunique
  FROM pg_attribute AS attr
  JOIN pg_type AS typ ON attr.atttypid = typ.oid
  JOIN pg_class AS cls ON cls.oid = attr.attrelid
  JOIN pg_namespace AS ns ON ns.oid = cls.relnamespace
  LEFT OUTER JOIN information_schema.columns AS col ON col.table_schema = nspname AND col.table_name = relname AND col.column_name = attname
 WHERE atttypid <> 0 AND relkind IN ('r', 'v', 'm') AND NOT attisdropped AND nspname NOT IN ('pg_catalog', 'information_schema') AND attnum > 0
   AND cls.relname = 'users'
 ORDER BY attnum
