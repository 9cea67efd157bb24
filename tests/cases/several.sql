CREATE TABLE public.people (
    id integer PRIMARY KEY,
    full_name text,
    salary integer DEFAULT 100,
    title text,
    note text NOT NULL DEFAULT 'none',
    legacy_code text
);
INSERT INTO public.people (id, full_name, salary, title, note, legacy_code) VALUES
    (1, 'Ada Lovelace', 250, 'Countess of Lovelace', 'first', 'A-1'),
    (2, 'Plato', NULL, NULL, '', NULL),
    (3, NULL, 0, '', 'none', ''),
    (4, 'Żółcisława Gęśla-Jaźń', 2147483647, 'Dr hab.', 'it''s', 'n/a'),
    (5, '', 7, 'Own Title', 'C:\temp', '🦊');
