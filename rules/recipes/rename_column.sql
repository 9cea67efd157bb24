CREATE TABLE public.orders (
    id integer PRIMARY KEY,
    total_cents integer NOT NULL,
    note text DEFAULT ''
);
INSERT INTO public.orders (id, total_cents, note) VALUES
    (1, 1990, 'leave at the door'),
    (2, 0, ''),
    (3, 45000, NULL),
    (4, 1250, 'Klingel defekt, bitte anrufen – Grüße'),
    (5, 899, 'żółty dom za kościołem'),
    (6, 899, 'two
lines'),
    (7, 120000, 'it''s a gift'),
    (8, 70, ' '),
    (9, 3200, '玄関前に置いてください'),
    (10, 3200, NULL),
    (11, 15, 'C:\temp\n'),
    (12, 640, '🎁');
