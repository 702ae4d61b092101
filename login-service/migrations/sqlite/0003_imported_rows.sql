-- Rows of dumps that were imported, by the name of their table and the id they have there, with what they said; never a
-- password. A row outlives what came of it: what was removed or taken away here, another import does not bring back.
CREATE TABLE imported_rows (
    source  TEXT NOT NULL,
    id      TEXT NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (source, id)
);
