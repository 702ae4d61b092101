-- The redirect URI that a code was sent to, also where the request named none and the client has only one.
ALTER TABLE authorization_code ADD COLUMN sent_to TEXT NOT NULL DEFAULT '';
