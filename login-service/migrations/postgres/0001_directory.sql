-- The directory: who there is, what they may call, and what changed when. The same tables as in `../sqlite/`, statement for
-- statement; constraints are named after table and column, by which the program tells them apart. Text is compared byte by
-- byte, as SQLite does, whatever the locale of the database.
-- `_at` columns are Unix milliseconds, except `changes.at`, which is what the feed carries: Unix seconds.

CREATE TABLE users (
    id            TEXT   COLLATE "C" NOT NULL CONSTRAINT users_id PRIMARY KEY,
    name          TEXT   COLLATE "C" NOT NULL CONSTRAINT users_name UNIQUE,
    password_hash TEXT   NOT NULL,              -- PHC string, Argon2; bcrypt only of imported users
    disabled      BIGINT NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1)),
    created_at    BIGINT NOT NULL
);

CREATE TABLE roles (
    name TEXT COLLATE "C" NOT NULL CONSTRAINT roles_name PRIMARY KEY
);

CREATE TABLE permissions (
    id          BIGINT NOT NULL CONSTRAINT permissions_id PRIMARY KEY,
    name        TEXT   COLLATE "C" NOT NULL,    -- the authority, as it stands in a token
    url         TEXT   COLLATE "C" NOT NULL,
    method      TEXT   COLLATE "C" NOT NULL DEFAULT '*',   -- '*': every method
    description TEXT   NOT NULL DEFAULT '',
    CONSTRAINT permissions_name UNIQUE (name, url, method)
);

CREATE TABLE user_roles (
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role    TEXT COLLATE "C" NOT NULL REFERENCES roles (name) ON DELETE CASCADE,
    PRIMARY KEY (user_id, role)
);
CREATE INDEX user_roles_by_role ON user_roles (role);

CREATE TABLE role_permissions (
    role          TEXT   COLLATE "C" NOT NULL REFERENCES roles (name) ON DELETE CASCADE,
    permission_id BIGINT NOT NULL REFERENCES permissions (id) ON DELETE CASCADE,
    PRIMARY KEY (role, permission_id)
);
CREATE INDEX role_permissions_by_permission ON role_permissions (permission_id);

-- Append-only. Its last number is the version of the feed. A sequence never gives a number twice, and numbers are committed
-- in their order because only one transaction writes at a time.
CREATE TABLE changes (
    number  BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      BIGINT NOT NULL,
    user_id TEXT   COLLATE "C"                  -- whose authorities changed; NULL: the permission table did
);
CREATE INDEX changes_by_time ON changes (at);

-- Every replica listens to this channel. Told on commit, and once for all changes of a transaction.
CREATE FUNCTION tell_of_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('postern_login_changes', '');
    RETURN NULL;
END $$;
CREATE TRIGGER tell_of_changes AFTER INSERT ON changes FOR EACH STATEMENT EXECUTE FUNCTION tell_of_changes();

-- One row: which database this is. A gateway that knows another lineage gets a full snapshot.
CREATE TABLE feed (
    lineage TEXT NOT NULL PRIMARY KEY
);
INSERT INTO feed (lineage) VALUES (right(replace(gen_random_uuid()::text, '-', ''), 16));
