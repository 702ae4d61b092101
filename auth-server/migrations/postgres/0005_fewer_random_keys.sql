-- A new token is written into as few pages as can be: ids begin with the time, a JWT is known by its id alone
-- (`token_hash` is NULL), and what no token refers to has no place in an index.
ALTER TABLE access_token DROP CONSTRAINT access_token_token_hash_key;
ALTER TABLE access_token ALTER COLUMN token_hash DROP NOT NULL;
DROP INDEX access_token_reusable, access_token_client, access_token_refresh;
-- "The same token while valid": one token that is given again for each client, user and scope.
CREATE UNIQUE INDEX access_token_reusable
    ON access_token (client_id, profile, user_name, authentication_id) WHERE reusable = 1;
CREATE INDEX access_token_client ON access_token (client_id) WHERE reusable = 0;
CREATE UNIQUE INDEX access_token_hash ON access_token (token_hash) WHERE token_hash IS NOT NULL;
CREATE INDEX access_token_refresh ON access_token (refresh_id) WHERE refresh_id IS NOT NULL;

-- Stores new tokens in one round trip: each as the one to give again unless there is an earlier one; none, if anything
-- but changes of one kind came after a number. Each token is an array of its columns. Whoever writes alone is waited for
-- first, by the half of `postern_turn_of` that is everybody's; what follows sees what was committed until then.
CREATE FUNCTION postern_insert_first(seen BIGINT, harmless TEXT, tokens TEXT) RETURNS BIGINT LANGUAGE plpgsql AS $$
DECLARE
    stored BIGINT;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7331, 0);
    INSERT INTO access_token (token_id, token_hash, authentication_id, profile, client_id, user_id, user_name, scope,
        grant_type, claims, key_id, issued_at_ms, expires_at_ms, reusable)
    SELECT t ->> 0, decode(t ->> 1, 'hex'), t ->> 2, t ->> 3, t ->> 4, t ->> 5, t ->> 6, t ->> 7, t ->> 8, t ->> 9,
        t ->> 10, (t ->> 11)::BIGINT, (t ->> 12)::BIGINT, 1
    FROM json_array_elements(tokens::JSON) AS t
    WHERE NOT EXISTS (SELECT 1 FROM change WHERE number > seen AND kind <> harmless)
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS stored = ROW_COUNT;
    RETURN stored;
END $$;
