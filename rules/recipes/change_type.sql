CREATE TABLE public.products (
    id integer PRIMARY KEY,
    name text NOT NULL,
    price integer
);
INSERT INTO public.products (id, name, price) VALUES
    (1, 'Teapot', 2499),
    (2, 'Free sample', 0),
    (3, 'Price on request', NULL),
    (4, 'Crème brûlée dish', 899),
    (5, 'Śrubokręt', 1),
    (6, '', 10),
    (7, '急須', 100000),
    (8, 'Grand piano', 8999900),
    (9, 'Screw', 7),
    (10, 'Satellite', 2147483647),
    (11, 'Discontinued', NULL),
    (12, 'Half a crown', 250);
