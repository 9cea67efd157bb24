CREATE TABLE public.articles (
    id integer PRIMARY KEY,
    title text,
    body text NOT NULL DEFAULT ''
);
INSERT INTO public.articles (id, title, body) VALUES
    (1, 'Hello World', 'First.'),
    (2, 'Untitled', ''),
    (3, NULL, 'A draft without a title.'),
    (4, '', 'Neither has this one.'),
    (5, 'Ąćęłńóśźż in Titles', 'Zażółć gęślą jaźń.'),
    (6, 'Über Größe', ''),
    (7, 'it''s quoted', 'it''s quoted too'),
    (8, '日本 の 記事', '本文'),
    (9, 'ALL CAPS', ''),
    (10, '  padded  ', ''),
    (11, 'already-a-slug', ''),
    (12, '🚀 Launch', '');
