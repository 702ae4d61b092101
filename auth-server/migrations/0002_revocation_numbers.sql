-- A revocation carries the number of the change that told it, so that the feed can hand out many of them in parts: "those
-- after this number, so many at most". What was revoked before is told once more, in order, to give it one.
ALTER TABLE revoked_token ADD COLUMN number BIGINT NOT NULL DEFAULT 0;
ALTER TABLE revoked_client ADD COLUMN number BIGINT NOT NULL DEFAULT 0;

INSERT INTO change (kind, subject, at_ms, expires_at_ms)
    SELECT 'token_revoked', token_id, 0, expires_at_ms FROM revoked_token;
INSERT INTO change (kind, subject, at_ms, expires_at_ms)
    SELECT 'client_revoked', client_id, at_ms, expires_at_ms FROM revoked_client;
UPDATE revoked_token SET number =
    (SELECT MAX(number) FROM change WHERE kind = 'token_revoked' AND subject = revoked_token.token_id);
UPDATE revoked_client SET number =
    (SELECT MAX(number) FROM change WHERE kind = 'client_revoked' AND subject = revoked_client.client_id);

CREATE INDEX revoked_token_number ON revoked_token (number);
CREATE INDEX revoked_client_number ON revoked_client (number);
