-- After what ActiveRecord 7 (PostgreSQL::SchemaStatements) sends, and 7.1 for composite keys.
SELECT a.attname, format_type(a.atttypid, a.atttypmod), pg_get_expr(d.adbin, d.adrelid), a.attnotnull,
       a.atttypid, a.atttypmod, c.collname, col_description(a.attrelid, a.attnum) AS comment,
       attidentity AS identity, attgenerated as attgenerated
  FROM pg_attribute a
  LEFT JOIN pg_attrdef d ON a.attrelid = d.adrelid AND a.attnum = d.adnum
  LEFT JOIN pg_type t ON a.atttypid = t.oid
  LEFT JOIN pg_collation c ON a.attcollation = c.oid AND a.attcollation <> t.typcollation
 WHERE a.attrelid = '"users"'::regclass AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum

-- Before 4.2, and still in gems.
SELECT a.attname, format_type(a.atttypid, a.atttypmod), pg_get_expr(d.adbin, d.adrelid), a.attnotnull
  FROM pg_attribute a LEFT JOIN pg_attrdef d ON a.attrelid = d.adrelid AND a.attnum = d.adnum
 WHERE a.attrelid = '"public"."users"'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum

-- Primary keys.
SELECT a.attname
  FROM (SELECT indrelid, indkey, generate_subscripts(indkey, 1) idx FROM pg_index
         WHERE indrelid = '"users"'::regclass AND indisprimary) i
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[i.idx]
 ORDER BY i.idx

SELECT DISTINCT i.relname, d.indisunique, d.indkey, pg_get_indexdef(d.indexrelid),
       pg_catalog.obj_description(i.oid, 'pg_class') AS comment, d.indisvalid,
       ARRAY(SELECT pg_get_indexdef(d.indexrelid, k + 1, true) FROM generate_subscripts(d.indkey, 1) AS k ORDER BY k) AS columns
  FROM pg_class t
 INNER JOIN pg_index d ON t.oid = d.indrelid
 INNER JOIN pg_class i ON d.indexrelid = i.oid
  LEFT JOIN pg_namespace n ON n.oid = t.relnamespace
 WHERE i.relkind IN ('i', 'I') AND d.indisprimary = 'f' AND t.relname = 'users' AND n.nspname = ANY (current_schemas(false))
 ORDER BY i.relname

-- Of each index, until 7.1.
SELECT a.attnum, a.attname FROM pg_attribute a WHERE a.attrelid = 'users'::regclass::oid AND a.attnum IN (4,6,8)

SELECT COUNT(*) FROM pg_class t INNER JOIN pg_index d ON t.oid = d.indrelid INNER JOIN pg_class i ON d.indexrelid = i.oid
  LEFT JOIN pg_namespace n ON n.oid = t.relnamespace
 WHERE i.relkind IN ('i', 'I') AND i.relname = 'users_full_name' AND t.relname = 'users' AND n.nspname = ANY (current_schemas(false))

SELECT t2.oid::regclass::text AS to_table, c.conname AS name, c.confupdtype AS on_update, c.confdeltype AS on_delete,
       c.convalidated AS valid, c.condeferrable AS deferrable, c.condeferred AS deferred, c.conkey, c.confkey, c.conrelid, c.confrelid
  FROM pg_constraint c
  JOIN pg_class t1 ON c.conrelid = t1.oid
  JOIN pg_class t2 ON c.confrelid = t2.oid
  JOIN pg_namespace n ON c.connamespace = n.oid
 WHERE c.contype = 'f' AND t1.relname = 'orders' AND n.nspname = ANY (current_schemas(false))
 ORDER BY c.conname

SELECT t2.oid::regclass::text AS to_table, a1.attname AS column, a2.attname AS primary_key, c.conname AS name,
       (SELECT array_agg(a.attname ORDER BY idx)
          FROM (SELECT idx, c.conkey[idx] AS conkey_elem FROM generate_subscripts(c.conkey, 1) AS idx) indexed_conkeys
          JOIN pg_attribute a ON a.attrelid = t1.oid AND a.attnum = indexed_conkeys.conkey_elem) AS conkey_names
  FROM pg_constraint c
  JOIN pg_class t1 ON c.conrelid = t1.oid
  JOIN pg_class t2 ON c.confrelid = t2.oid
  JOIN pg_attribute a1 ON a1.attnum = c.conkey[1] AND a1.attrelid = t1.oid
  JOIN pg_attribute a2 ON a2.attnum = c.confkey[1] AND a2.attrelid = t2.oid
  JOIN pg_namespace t3 ON c.connamespace = t3.oid
 WHERE c.contype = 'f' AND t1.relname = 'orders' AND t3.nspname = ANY (current_schemas(false))
 ORDER BY c.conname

SELECT conname, pg_get_constraintdef(c.oid, true) AS constraintdef, c.convalidated AS valid
  FROM pg_constraint c JOIN pg_class t ON c.conrelid = t.oid JOIN pg_namespace n ON n.oid = c.connamespace
 WHERE c.contype = 'c' AND t.relname = 'users' AND n.nspname = ANY (current_schemas(false))

-- Unique and exclusion constraints.
SELECT c.conname, c.conrelid, c.conkey, c.condeferrable, c.condeferred, pg_get_constraintdef(c.oid) AS constraintdef
  FROM pg_constraint c JOIN pg_class t ON c.conrelid = t.oid JOIN pg_namespace n ON n.oid = c.connamespace
 WHERE c.contype = 'u' AND t.relname = 'users' AND n.nspname = ANY (current_schemas(false))

SELECT c.relname FROM pg_class c LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY (current_schemas(false)) AND c.relkind IN ('r','v','m','p','f')

SELECT c.relname FROM pg_class c LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY (current_schemas(false)) AND c.relname = 'users' AND c.relkind IN ('r','p')

SELECT pg_catalog.obj_description(c.oid, 'pg_class') FROM pg_catalog.pg_class c LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relname = 'users' AND c.relkind IN ('r', 'p') AND n.nspname = ANY (current_schemas(false))

-- pk_and_sequence_for.
SELECT attr.attname, nsp.nspname, seq.relname
  FROM pg_class seq, pg_attribute attr, pg_depend dep, pg_constraint cons, pg_namespace nsp
 WHERE seq.oid = dep.objid AND seq.relkind = 'S' AND attr.attrelid = dep.refobjid AND attr.attnum = dep.refobjsubid
   AND attr.attrelid = cons.conrelid AND attr.attnum = cons.conkey[1] AND seq.relnamespace = nsp.oid
   AND cons.contype = 'p' AND dep.classid = 'pg_class'::regclass AND dep.refobjid = '"users"'::regclass

SELECT attr.attname, nsp.nspname,
       CASE WHEN pg_get_expr(def.adbin, def.adrelid) !~* 'nextval' THEN NULL
            WHEN split_part(pg_get_expr(def.adbin, def.adrelid), '''', 2) ~ '.' THEN
              substr(split_part(pg_get_expr(def.adbin, def.adrelid), '''', 2),
                     strpos(split_part(pg_get_expr(def.adbin, def.adrelid), '''', 2), '.')+1)
            ELSE split_part(pg_get_expr(def.adbin, def.adrelid), '''', 2) END
  FROM pg_class t
  JOIN pg_attribute attr ON (t.oid = attrelid)
  JOIN pg_attrdef def ON (adrelid = attrelid AND adnum = attnum)
  JOIN pg_constraint cons ON (conrelid = adrelid AND adnum = conkey[1])
  JOIN pg_namespace nsp ON (t.relnamespace = nsp.oid)
 WHERE t.oid = '"users"'::regclass AND cons.contype = 'p' AND pg_get_expr(def.adbin, def.adrelid) ~* 'nextval|uuid_generate'

SELECT pg_get_serial_sequence('users', 'id')

-- Types, when a connection is made.
SELECT t.oid, t.typname, t.typelem, t.typdelim, t.typinput, r.rngsubtype, t.typtype, t.typbasetype
  FROM pg_type as t LEFT JOIN pg_range as r ON oid = rngtypid
 WHERE t.typname IN ('int2', 'int4', 'text', 'varchar', 'timestamptz', 'bool') OR t.typelem = 25
