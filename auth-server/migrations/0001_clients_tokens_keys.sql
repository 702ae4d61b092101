-- Times are integer milliseconds since the Unix epoch, UTC. NULL in an `expires_at_ms` means: never.

-- What the database was born with: its lineage (the prefix of feed versions) and the key of client secrets.
CREATE TABLE server (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
);

-- Lists are comma-separated, in the order in which they were registered.
CREATE TABLE client (
    client_id              TEXT PRIMARY KEY,
    profile                TEXT   NOT NULL,
    secret_mac             BLOB   NOT NULL,
    grants                 TEXT   NOT NULL,
    scopes                 TEXT   NOT NULL,
    authorities            TEXT   NOT NULL,
    resource_ids           TEXT   NOT NULL,
    redirect_uris          TEXT   NOT NULL,
    access_token_validity  BIGINT,
    refresh_token_validity BIGINT,
    created_at_ms          BIGINT NOT NULL
);

-- The key of a profile that became active last signs; the ones before it only verify. `active_from_ms` lies a moment
-- after `created_at_ms`, so that the gateways know a key before a token signed with it reaches them.
CREATE TABLE signing_key (
    key_id         TEXT PRIMARY KEY,
    profile        TEXT   NOT NULL,
    secret         BLOB   NOT NULL,
    created_at_ms  BIGINT NOT NULL,
    active_from_ms BIGINT NOT NULL
);

-- `token_id` is the `jti`: every encoding of a refresh token that carries it is this token.
CREATE TABLE refresh_token (
    token_id      TEXT PRIMARY KEY,
    profile       TEXT   NOT NULL,
    client_id     TEXT   NOT NULL,
    user_id       TEXT   NOT NULL,
    user_name     TEXT   NOT NULL,
    authorities   TEXT   NOT NULL,
    scope         TEXT   NOT NULL,
    first_key_id  TEXT   NOT NULL,
    issued_at_ms  BIGINT NOT NULL,
    expires_at_ms BIGINT
);
CREATE INDEX refresh_token_expiry ON refresh_token (expires_at_ms);
CREATE INDEX refresh_token_client ON refresh_token (client_id);

-- Token values are never stored. `claims` and `refresh_claims` are the payloads as they were signed with `key_id`:
-- signed once more they give the same token again.
CREATE TABLE access_token (
    token_id            TEXT PRIMARY KEY,
    token_hash          BLOB   NOT NULL UNIQUE,
    authentication_id   TEXT   NOT NULL,
    profile             TEXT   NOT NULL,
    client_id           TEXT   NOT NULL,
    user_id             TEXT   NOT NULL,
    user_name           TEXT   NOT NULL,
    scope               TEXT   NOT NULL,
    claims              TEXT   NOT NULL,
    refresh_id          TEXT REFERENCES refresh_token (token_id) ON DELETE SET NULL,
    refresh_claims      TEXT,
    key_id              TEXT   NOT NULL,
    issued_at_ms        BIGINT NOT NULL,
    expires_at_ms       BIGINT,
    reusable            INTEGER NOT NULL,
    revoked_with_client INTEGER NOT NULL DEFAULT 0
);
-- "The same token while valid": one token that is given again for each client, user and scope.
CREATE UNIQUE INDEX access_token_reusable
    ON access_token (profile, client_id, user_name, authentication_id) WHERE reusable = 1;
CREATE INDEX access_token_refresh ON access_token (refresh_id);
CREATE INDEX access_token_client ON access_token (client_id);
CREATE INDEX access_token_expiry ON access_token (expires_at_ms);

-- What gateways must refuse although its signature and times are good.
CREATE TABLE revoked_token (
    token_id      TEXT PRIMARY KEY,
    expires_at_ms BIGINT
);
CREATE INDEX revoked_token_expiry ON revoked_token (expires_at_ms);

CREATE TABLE revoked_client (
    client_id     TEXT PRIMARY KEY,
    at_ms         BIGINT NOT NULL,
    expires_at_ms BIGINT
);

-- Append-only; its last number is the version of the feed. AUTOINCREMENT never gives a number twice.
CREATE TABLE change (
    number        INTEGER PRIMARY KEY AUTOINCREMENT,
    kind          TEXT   NOT NULL,
    subject       TEXT   NOT NULL,
    at_ms         BIGINT NOT NULL,
    expires_at_ms BIGINT
);
