CREATE TABLE public.payments (
    id integer PRIMARY KEY,
    reference text,
    amount_cents integer,
    is_refund boolean
);
INSERT INTO public.payments (id, reference, amount_cents, is_refund) VALUES
    (1, 'INV-1', 1999, false),
    (2, 'INV-1', 1999, true),
    (3, 'no amount yet', NULL, false),
    (4, 'nothing known', NULL, NULL),
    (5, 'no kind', 500, NULL),
    (6, '', 0, false),
    (7, NULL, 0, true),
    (8, 'Zwrot – żółta kartka', 12345, true),
    (9, '返金', 1, true),
    (10, 'Größte Zahlung', 2147483647, false),
    (11, 'O''Brien', 250, false),
    (12, '💶', 100, false);
