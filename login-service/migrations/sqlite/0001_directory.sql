-- The directory: who there is, what they may call, and what changed when.
-- `_at` columns are Unix milliseconds, except `changes.at`, which is what the feed carries: Unix seconds.

CREATE TABLE users (
    id            TEXT    NOT NULL PRIMARY KEY,
    name          TEXT    NOT NULL UNIQUE,
    password_hash TEXT    NOT NULL,             -- PHC string, Argon2; bcrypt only of imported users
    disabled      INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1)),
    created_at    INTEGER NOT NULL
);

CREATE TABLE roles (
    name TEXT NOT NULL PRIMARY KEY
);

CREATE TABLE permissions (
    id          INTEGER NOT NULL PRIMARY KEY,
    name        TEXT    NOT NULL,               -- the authority, as it stands in a token
    url         TEXT    NOT NULL,
    method      TEXT    NOT NULL DEFAULT '*',   -- '*': every method
    description TEXT    NOT NULL DEFAULT '',
    UNIQUE (name, url, method)
);

CREATE TABLE user_roles (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role    TEXT NOT NULL REFERENCES roles (name) ON DELETE CASCADE,
    PRIMARY KEY (user_id, role)
);
CREATE INDEX user_roles_by_role ON user_roles (role);

CREATE TABLE role_permissions (
    role          TEXT    NOT NULL REFERENCES roles (name) ON DELETE CASCADE,
    permission_id INTEGER NOT NULL REFERENCES permissions (id) ON DELETE CASCADE,
    PRIMARY KEY (role, permission_id)
);
CREATE INDEX role_permissions_by_permission ON role_permissions (permission_id);

-- Append-only. Its last number is the version of the feed; AUTOINCREMENT never uses a number twice.
CREATE TABLE changes (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    user_id TEXT                                -- whose authorities changed; NULL: the permission table did
);
CREATE INDEX changes_by_time ON changes (at);

-- One row: which database this is. A gateway that knows another lineage gets a full snapshot.
CREATE TABLE feed (
    lineage TEXT NOT NULL PRIMARY KEY
);
INSERT INTO feed (lineage) VALUES (lower(hex(randomblob(8))));
