CREATE TABLE public.contacts (
    id integer PRIMARY KEY,
    given_name text,
    family_name text,
    phone text
);
INSERT INTO public.contacts (id, given_name, family_name, phone) VALUES
    (1, 'Grace', 'Hopper', '+1 555 0100'),
    (2, 'Sokrates', NULL, NULL),
    (3, NULL, NULL, ''),
    (4, '', NULL, '+44 20 7946 0000'),
    (5, 'Łucja', 'Wiśniewska', '+48 22 555 01 00'),
    (6, 'Ludwig', 'van der Rohe', '+49 30 5550100'),
    (7, '清少', '納言', NULL),
    (8, 'Conan', 'O''Brien', '+353 1 555 0100'),
    (9, 'Trailing', '', NULL),
    (10, '', 'Mononym', NULL),
    (11, 'Zoë', 'Šimková', '+421 2 555 01 00'),
    (12, '🦉', 'Owl', NULL);
