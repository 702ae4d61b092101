-- A new token is written into as few pages as can be: ids begin with the time, a JWT is known by its id alone
-- (`token_hash` is NULL), and what no token refers to has no place in an index.
CREATE TABLE new_access_token (
    token_id            TEXT PRIMARY KEY,
    token_hash          BLOB,
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
INSERT INTO new_access_token (token_id, token_hash, authentication_id, profile, client_id, user_id, user_name, scope, grant_type, claims,
    refresh_id, refresh_claims, key_id, issued_at_ms, expires_at_ms, reusable, revoked_with_client)
SELECT token_id, token_hash, authentication_id, profile, client_id, user_id, user_name, scope, grant_type, claims,
    refresh_id, refresh_claims, key_id, issued_at_ms, expires_at_ms, reusable, revoked_with_client FROM access_token;
DROP TABLE access_token;
ALTER TABLE new_access_token RENAME TO access_token;
-- "The same token while valid": one token that is given again for each client, user and scope.
CREATE UNIQUE INDEX access_token_reusable
    ON access_token (client_id, profile, user_name, authentication_id) WHERE reusable = 1;
CREATE INDEX access_token_client ON access_token (client_id) WHERE reusable = 0;
CREATE UNIQUE INDEX access_token_hash ON access_token (token_hash) WHERE token_hash IS NOT NULL;
CREATE INDEX access_token_refresh ON access_token (refresh_id) WHERE refresh_id IS NOT NULL;
CREATE INDEX access_token_expiry ON access_token (expires_at_ms);
