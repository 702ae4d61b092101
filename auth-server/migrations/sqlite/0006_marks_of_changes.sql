-- Each change has a random mark. After a restored backup the same numbers are given to other changes; a gateway that has
-- seen the ones before is known by the mark. (A column that is added cannot draw its default for each row.)
CREATE TABLE marked_change (
    number        INTEGER PRIMARY KEY AUTOINCREMENT,
    kind          TEXT   NOT NULL,
    subject       TEXT   NOT NULL,
    at_ms         BIGINT NOT NULL,
    expires_at_ms BIGINT,
    mark          BIGINT NOT NULL DEFAULT (random())
);
INSERT INTO marked_change (number, kind, subject, at_ms, expires_at_ms)
SELECT number, kind, subject, at_ms, expires_at_ms FROM change;
DROP TABLE change;
ALTER TABLE marked_change RENAME TO change;
