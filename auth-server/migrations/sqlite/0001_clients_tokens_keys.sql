-- Times are integer milliseconds since the Unix epoch, UTC. NULL in an `expires_at_ms` means: never.
-- The tables are those of `migrations/postgres`; only types and triggers differ.

-- What the database was born with: its lineage (the prefix of feed versions) and the key of client secrets.
CREATE TABLE server (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
);

-- Lists are comma-separated, in the order in which they were registered. `imported_secret` is a bcrypt hash that came
-- with an import: it is replaced by a `secret_mac` when the client next shows its secret. `additional_information` is a
-- JSON object.
CREATE TABLE client (
    client_id              TEXT PRIMARY KEY,
    profile                TEXT   NOT NULL,
    secret_mac             BLOB   NOT NULL,
    imported_secret        TEXT,
    grants                 TEXT   NOT NULL,
    scopes                 TEXT   NOT NULL,
    authorities            TEXT   NOT NULL,
    resource_ids           TEXT   NOT NULL,
    redirect_uris          TEXT   NOT NULL,
    response_types         TEXT   NOT NULL,
    additional_information TEXT   NOT NULL,
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

-- `token_id` is the `jti`: every encoding of a refresh token that carries it is this token. An opaque one is known by
-- `token_hash`, the SHA-256 of its value. An empty `user_id`: the client's own.
CREATE TABLE refresh_token (
    token_id      TEXT PRIMARY KEY,
    token_hash    BLOB UNIQUE,
    profile       TEXT   NOT NULL,
    client_id     TEXT   NOT NULL,
    user_id       TEXT   NOT NULL,
    user_name     TEXT   NOT NULL,
    authorities   TEXT   NOT NULL,
    scope         TEXT   NOT NULL,
    grant_type    TEXT   NOT NULL,
    first_key_id  TEXT   NOT NULL,
    issued_at_ms  BIGINT NOT NULL,
    expires_at_ms BIGINT
);
CREATE INDEX refresh_token_expiry ON refresh_token (expires_at_ms);
CREATE INDEX refresh_token_client ON refresh_token (client_id);

-- Token values are never stored. `claims` and `refresh_claims` are the payloads as they were signed with `key_id`:
-- signed once more they give the same token again. The value of an opaque token is derived from `token_id` with that key.
CREATE TABLE access_token (
    token_id            TEXT PRIMARY KEY,
    token_hash          BLOB   NOT NULL UNIQUE,
    authentication_id   TEXT   NOT NULL,
    profile             TEXT   NOT NULL,
    client_id           TEXT   NOT NULL,
    user_id             TEXT   NOT NULL,
    user_name           TEXT   NOT NULL,
    scope               TEXT   NOT NULL,
    grant_type          TEXT   NOT NULL,
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

-- Codes, by the SHA-256 of their value. A redeemed one stays until it expires, with the tokens it was exchanged for:
-- shown again, those are taken back (RFC 6749 section 4.1.2). An empty `redirect_uri`: the request named none.
CREATE TABLE authorization_code (
    code_hash      BLOB PRIMARY KEY,
    profile        TEXT   NOT NULL,
    client_id      TEXT   NOT NULL,
    user_id        TEXT   NOT NULL,
    user_name      TEXT   NOT NULL,
    scope          TEXT   NOT NULL,
    redirect_uri   TEXT   NOT NULL,
    code_challenge TEXT   NOT NULL,
    token_id       TEXT,
    refresh_id     TEXT,
    expires_at_ms  BIGINT NOT NULL
);
CREATE INDEX authorization_code_expiry ON authorization_code (expires_at_ms);

-- Users who are logged in at the server's own pages, by the SHA-256 of their cookie.
CREATE TABLE login_session (
    session_hash  BLOB PRIMARY KEY,
    profile       TEXT   NOT NULL,
    user_id       TEXT   NOT NULL,
    user_name     TEXT   NOT NULL,
    expires_at_ms BIGINT NOT NULL
);
CREATE INDEX login_session_expiry ON login_session (expires_at_ms);

-- Living tokens of the system before us, by the MD5 (in hexadecimal) of their value, as its own tables have them.
-- `refresh` is not 0 for refresh tokens; `refresh_md5` is the refresh token that an access token was given with.
-- `expires_at_ms` of 0: the token says itself.
CREATE TABLE imported_token (
    token_md5     TEXT PRIMARY KEY,
    refresh       INTEGER NOT NULL,
    profile       TEXT   NOT NULL,
    client_id     TEXT   NOT NULL,
    user_name     TEXT   NOT NULL,
    refresh_md5   TEXT   NOT NULL,
    expires_at_ms BIGINT NOT NULL
);
CREATE INDEX imported_token_refresh ON imported_token (refresh_md5);
CREATE INDEX imported_token_client ON imported_token (client_id);

-- What gateways must refuse although its signature and times are good. A revocation carries the number of the change
-- that told it, so that the feed can hand out many of them in parts: "those after this number, so many at most".
CREATE TABLE revoked_token (
    token_id      TEXT PRIMARY KEY,
    expires_at_ms BIGINT,
    number        BIGINT NOT NULL
);
CREATE INDEX revoked_token_expiry ON revoked_token (expires_at_ms);
CREATE INDEX revoked_token_number ON revoked_token (number);

CREATE TABLE revoked_client (
    client_id     TEXT PRIMARY KEY,
    at_ms         BIGINT NOT NULL,
    expires_at_ms BIGINT,
    number        BIGINT NOT NULL
);
CREATE INDEX revoked_client_number ON revoked_client (number);

-- Append-only; its last number is the version of the feed. AUTOINCREMENT never gives a number twice.
CREATE TABLE change (
    number        INTEGER PRIMARY KEY AUTOINCREMENT,
    kind          TEXT   NOT NULL,
    subject       TEXT   NOT NULL,
    at_ms         BIGINT NOT NULL,
    expires_at_ms BIGINT
);
