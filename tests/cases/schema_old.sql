CREATE TABLE users (
    id serial PRIMARY KEY,
    full_name text,
    age int,
    nick varchar(20) UNIQUE,
    created timestamptz NOT NULL DEFAULT '2026-01-02 03:04:05+00'
);
INSERT INTO users (id, full_name, age, nick) VALUES
    (1, 'Ada Lovelace', 36, 'ada'), (2, 'Grace Hopper', 85, 'grace'), (3, 'Plato', NULL, 'plato'),
    (4, NULL, 20, NULL), (5, 'Żółć Jaźń', 41, 'zolc'), (6, 'Jean Luc Picard', 59, 'jlp'), (7, 'Alan Turing', 41, 'alan'),
    (8, 'Émile Zola', 62, 'ez'), (9, NULL, NULL, 'nobody'), (10, 'Ada Byron', 36, 'byron'), (11, 'Kurt Gödel', 71, 'kurt'), (12, 'Sappho', 60, 'sap');
SELECT setval('users_id_seq', 100);
CREATE TABLE items (
    id int PRIMARY KEY,
    user_id int,
    price_cents int DEFAULT 100,
    sku varchar(10) NOT NULL DEFAULT 'none',
    qty int NOT NULL DEFAULT 1
);
INSERT INTO items VALUES (1, 1, 250, 'A-1', 2), (2, 1, 999, 'B-2', 1), (3, 2, NULL, 'C-3', 5), (4, 3, 0, 'D-4', 7),
    (5, NULL, 1250, 'E-5', 1), (6, 5, -300, 'F-6', 3), (7, 6, 100000, 'G-7', 4), (8, 7, 5, 'H-8', 9);
CREATE TABLE orders (id int PRIMARY KEY, user_id int, total numeric(10,2), note text);
INSERT INTO orders VALUES (1, 1, 10.50, 'first'), (2, 1, 20, NULL), (3, 2, 5.25, 'Grace Hopper'), (4, 9, 7, 'x'), (5, NULL, 1, 'y');
CREATE TABLE people (id int PRIMARY KEY, full_name text, first_name text);
INSERT INTO people VALUES (1, 'Plain Person', 'Plain'), (3, 'Plato', 'Plato'), (20, NULL, 'x');
