CREATE TABLE public.devices (
    id integer PRIMARY KEY,
    name text NOT NULL,
    legacy_code text
);
INSERT INTO public.devices (id, name, legacy_code) VALUES
    (1, 'Router', 'RT-0001'),
    (2, 'Switch', 'n/a'),
    (3, 'Access point', NULL),
    (4, '', ''),
    (5, 'Czujnik wilgotności', 'CZ-ż1'),
    (6, 'Türöffner', 'TÜR'),
    (7, '温度計', '温-7'),
    (8, 'Children''s lamp', 'O''1'),
    (9, 'Spare', NULL),
    (10, 'Padded', ' P '),
    (11, 'Backslash', 'a\b'),
    (12, '📷', '📷-1');
