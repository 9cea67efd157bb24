CREATE TABLE public.users (
    id integer PRIMARY KEY,
    email text,
    full_name text
);
INSERT INTO public.users (id, email, full_name) VALUES
    (1, 'ada@example.com', 'Ada Lovelace'),
    (2, 'plato@example.com', 'Plato'),
    (3, NULL, NULL),
    (4, 'empty@example.com', ''),
    (5, 'zofia@example.com', 'Żółcisława Gęśla-Jaźń'),
    (6, 'jose@example.com', 'José María Ñúñez del Río'),
    (7, 'murasaki@example.com', '紫 式部'),
    (8, 'oneill@example.com', 'Shaquille O''Neal'),
    (9, 'space@example.com', 'Trailing '),
    (10, 'lead@example.com', ' Leading'),
    (11, 'double@example.com', 'Double  Space'),
    (12, 'emoji@example.com', '🦊 Fox');
