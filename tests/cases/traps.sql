-- Situations that need a value which must be evaluated only once; it is volatile, and yet always the same.
-- shape: old
INSERT INTO items (id, sku) VALUES (20, 'much too long for it'), (21, 'x' || left(random()::text, 0))

-- shape: old
INSERT INTO items (id, sku, price_cents) VALUES (20, 'x', 2.5), (21, 'y' || left(random()::text, 0), '7') RETURNING *

-- shape: old
INSERT INTO items (id, sku, qty) VALUES (20, DEFAULT, 3), (21, 'y' || left(random()::text, 0), DEFAULT) RETURNING *

-- shape: old
UPDATE users SET full_name = 'Vol ' || id || left(random()::text, 0), age = age + 1 WHERE id < 5 RETURNING *

-- shape: old
UPDATE items SET sku = left(sku || left(random()::text, 0), 3), price_cents = price_cents + 1 RETURNING id, sku, price_cents

-- shape: old
INSERT INTO users (id, full_name) VALUES (1, 'x'), (60, 'y') ON CONFLICT (id) DO UPDATE SET full_name = excluded.full_name || users.id || left(random()::text, 0)

-- shape: new
INSERT INTO items (id, code) VALUES (20, 'sku:much too long for it'), (21, 'sku:' || left(random()::text, 0))

-- shape: new
INSERT INTO items (id, code, price) VALUES (20, 'sku:x', 1.005), (21, 'sku:y' || left(random()::text, 0), '7') RETURNING *

-- shape: new
UPDATE users SET first_name = 'V' || id || left(random()::text, 0), age = age + 1 WHERE id < 5 RETURNING *

-- shape: new
INSERT INTO users (id, first_name) VALUES (1, 'x'), (60, 'y') ON CONFLICT (id) DO UPDATE SET first_name = excluded.first_name || users.id || left(random()::text, 0)

-- shape: old
INSERT INTO items (id, price_cents, sku) VALUES (20, (random() * 0)::int, 'much too long for it'), (21, (random() * 0)::int, 'x')

-- shape: old
INSERT INTO items (id, price_cents, sku) VALUES (20, (random() * 0)::int, 'fits'), (21, (random() * 0)::int, DEFAULT) RETURNING *

-- shape: new
INSERT INTO items (id, price, code) VALUES (20, (random() * 0)::int, 'sku:much too long for it'), (21, (random() * 0)::int, 'sku:x')

-- shape: old
INSERT INTO users (id, full_name, nick) VALUES (80, left(random()::text, 0), 'much too long for a name of twenty letters') RETURNING *
