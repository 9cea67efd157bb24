ALTER TABLE users
    ADD COLUMN first_name text,
    ADD COLUMN last_name text,
    ADD COLUMN standing varchar(12) DEFAULT 'new';
UPDATE users SET first_name = split_part(full_name, ' ', 1), last_name = nullif(split_part(full_name, ' ', 2), '');
ALTER TABLE users DROP COLUMN full_name, DROP COLUMN status;
ALTER TABLE users ALTER COLUMN first_name SET NOT NULL;
