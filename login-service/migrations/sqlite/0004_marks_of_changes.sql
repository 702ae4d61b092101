-- Each change has a random mark. After a restored backup the same numbers are given to other changes; a gateway that has
-- seen the ones before is known by the mark. (A column that is added cannot draw its default for each row.)
CREATE TABLE marked_changes (
    number            INTEGER PRIMARY KEY AUTOINCREMENT,
    at                INTEGER NOT NULL,
    user_id           TEXT,                     -- whose authorities changed; NULL: the permission table did
    permission_name   TEXT,
    permission_url    TEXT,
    permission_method TEXT,
    permission_added  INTEGER CHECK (permission_added IN (0, 1)),
    mark              INTEGER NOT NULL DEFAULT (random())
);
INSERT INTO marked_changes (number, at, user_id, permission_name, permission_url, permission_method, permission_added)
SELECT number, at, user_id, permission_name, permission_url, permission_method, permission_added FROM changes;
DROP TABLE changes;
ALTER TABLE marked_changes RENAME TO changes;
CREATE INDEX changes_by_time ON changes (at);
