-- Every view of information_schema that tells of columns or constraints, and the catalogs below them, in the words of
-- nobody in particular.
SELECT table_schema, table_name, column_name, ordinal_position, column_default, is_nullable, data_type,
       character_maximum_length, numeric_precision, numeric_scale, udt_name, is_identity, is_generated, is_updatable
  FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, ordinal_position

SELECT column_name FROM information_schema.columns WHERE table_name = 'users' ORDER BY ordinal_position

-- params: users
SELECT column_name, is_nullable FROM information_schema.columns WHERE table_name = $1 ORDER BY 1

SELECT grantee, table_name, column_name, privilege_type FROM information_schema.column_privileges
 WHERE table_schema = 'public' ORDER BY 1, 2, 3, 4

SELECT table_name, column_name FROM information_schema.role_column_grants WHERE table_name = 'users' ORDER BY 1, 2

SELECT table_name, column_name, udt_name FROM information_schema.column_udt_usage WHERE table_name = 'users' ORDER BY 2

SELECT column_name, domain_name FROM information_schema.column_domain_usage WHERE table_schema = 'public'

SELECT view_name, table_name, column_name FROM information_schema.view_column_usage WHERE view_schema = 'public' ORDER BY 1, 2, 3

SELECT constraint_name, table_name, column_name, ordinal_position FROM information_schema.key_column_usage
 WHERE table_schema = 'public' ORDER BY 1, 4

SELECT table_name, constraint_name, constraint_type FROM information_schema.table_constraints
 WHERE table_schema = 'public' AND constraint_type <> 'CHECK' ORDER BY 1, 2

SELECT constraint_name, check_clause FROM information_schema.check_constraints
 WHERE constraint_schema = 'public' AND constraint_name NOT LIKE '%not_null' ORDER BY 1

SELECT constraint_name, table_name, column_name FROM information_schema.constraint_column_usage
 WHERE table_schema = 'public' AND constraint_name NOT LIKE '%not_null' ORDER BY 1, 2, 3

SELECT constraint_name, unique_constraint_name, delete_rule FROM information_schema.referential_constraints ORDER BY 1

SELECT trigger_name, event_manipulation, event_object_table FROM information_schema.triggers ORDER BY 1, 2

SELECT event_object_column FROM information_schema.triggered_update_columns ORDER BY 1

SELECT object_name, collection_type_identifier, data_type FROM information_schema.element_types WHERE object_schema = 'public' ORDER BY 1, 2

-- Names as PostgreSQL resolves them.
SELECT attname, attnum, atttypid::regtype, attnotnull, atthasdef, attisdropped, attidentity, attcollation, attacl
  FROM pg_attribute WHERE attrelid = 'users'::regclass ORDER BY attnum

SELECT pg_catalog.pg_attribute.attname FROM pg_catalog.pg_attribute
 WHERE pg_catalog.pg_attribute.attrelid = 'users'::regclass AND pg_attribute.attnum > 0 AND NOT attisdropped ORDER BY attnum

SELECT a.attname FROM ONLY pg_attribute AS a WHERE a.attrelid = 'users'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum

SELECT "A"."attname" FROM "pg_catalog"."pg_attribute" * "A" JOIN PG_CLASS c ON c.oid = "A".attrelid
 WHERE c.relname = 'users' AND attnum > 0 AND NOT attisdropped ORDER BY attnum

SELECT x, y FROM pg_attribute AS t (x, y) WHERE x = 'users'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum

SELECT attname FROM (TABLE pg_attribute) t WHERE attrelid = 'users'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum

WITH pg_attribute AS (SELECT 1 AS attname) SELECT attname FROM pg_attribute

WITH c AS (SELECT * FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped)
SELECT attname, count(*) OVER () FROM c WHERE attrelid = 'users'::regclass ORDER BY attnum

SELECT attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
 WHERE relname = 'users' AND attnum > 0 AND NOT attisdropped GROUP BY attname, attnum ORDER BY attnum

SELECT a.attname, a.tableoid::regclass FROM pg_attribute a WHERE a.attrelid = 'users'::regclass AND a.attnum > 0 AND NOT attisdropped ORDER BY attnum

SELECT a.* FROM pg_catalog.pg_attrdef a WHERE false

SELECT pg_catalog.pg_class.* FROM pg_catalog.pg_class WHERE relname = 'none'

-- params: users
SELECT attname, $1 FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum

EXPLAIN (COSTS OFF) SELECT 1 FROM pg_namespace WHERE oid IN (SELECT relnamespace FROM pg_class WHERE false)

SELECT nothing FROM pg_attribute

SELECT attname FROM pg_attribute a, pg_attribute b

-- Catalogs and managed tables in one statement.
SELECT u.id, a.attname FROM users u JOIN pg_attribute a ON a.attrelid = u.tableoid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE u.id = 1 ORDER BY a.attnum

-- shape: old
SELECT full_name, (SELECT count(*) FROM pg_attribute WHERE attrelid = users.tableoid AND attnum > 0 AND NOT attisdropped) AS n
  FROM users, pg_class WHERE pg_class.oid = users.tableoid ORDER BY users.id

-- shape: new
SELECT first_name, (SELECT count(*) FROM pg_attribute WHERE attrelid = users.tableoid AND attnum > 0 AND NOT attisdropped) AS n
  FROM users, pg_class WHERE pg_class.oid = users.tableoid ORDER BY users.id

-- shape: old
UPDATE users SET full_name = relname FROM pg_class WHERE pg_class.oid = users.tableoid RETURNING full_name

-- shape: new
UPDATE users SET first_name = relname FROM pg_class WHERE pg_class.oid = users.tableoid RETURNING first_name

CREATE TABLE columns_of AS SELECT attname FROM pg_attribute WHERE attrelid = 'users'::regclass AND attnum > 0 AND NOT attisdropped

COPY (SELECT attname FROM pg_attribute WHERE attrelid = 'users'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum) TO '/dev/null'

-- Indexes, constraints, definitions.
SELECT c.relname, pg_get_indexdef(i.indexrelid), i.indkey, i.indisunique, pg_get_indexdef(i.indexrelid, 1, true)
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = 'users'::regclass ORDER BY 1

SELECT schemaname, relname, indexrelname FROM pg_stat_user_indexes ORDER BY relname, indexrelname

SELECT s.indexrelname, s.relid FROM pg_catalog.pg_statio_all_indexes s WHERE s.relid = 'users'::regclass ORDER BY 1

SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'users' ORDER BY 1

SELECT conname, contype, conkey, pg_get_constraintdef(oid), pg_get_constraintdef(oid, true) AS pretty FROM pg_constraint
 WHERE conrelid = 'users'::regclass AND contype <> 'n' ORDER BY 1

SELECT upper(pg_get_constraintdef(oid)), count(*) FROM pg_constraint WHERE conrelid = 'users'::regclass AND contype = 'c' GROUP BY pg_get_constraintdef(oid)

SELECT c.relname, d FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid, pg_get_indexdef(i.indexrelid) AS d
 WHERE i.indrelid = 'users'::regclass ORDER BY 1

SELECT pg_get_constraintdef, d.x FROM pg_constraint k, pg_catalog.pg_get_constraintdef(k.oid),
       LATERAL pg_get_constraintdef(k.oid, true) AS d (x) WHERE conrelid = 'users'::regclass AND contype <> 'n' ORDER BY 1

SELECT d.*, i.indisunique FROM pg_index i LEFT JOIN LATERAL pg_get_indexdef(i.indexrelid) "D d" ON true, LATERAL (SELECT "D d") d
 WHERE i.indrelid = 'users'::regclass ORDER BY 1

SELECT adnum, pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = 'users'::regclass ORDER BY 1

SELECT relname, relchecks, relhastriggers, relnatts FROM pg_class WHERE oid = 'users'::regclass

SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'users'::regclass AND NOT tgisinternal ORDER BY 1

SELECT objsubid, description FROM pg_description WHERE objoid = 'users'::regclass ORDER BY 1

SELECT col_description('users'::regclass, attnum), attname FROM pg_attribute WHERE attrelid = 'users'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum

SELECT attname, null_frac FROM pg_stats WHERE tablename = 'orders' ORDER BY 1

SELECT count(*) FROM pg_depend WHERE refobjid = 'orders'::regclass AND refobjsubid > 0

-- A system relation beside a managed table: its columns are known, so a bare name has one owner.
-- shape: old
SELECT full_name, amname FROM users, pg_am WHERE amname = 'heap' ORDER BY id
