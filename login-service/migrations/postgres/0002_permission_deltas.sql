-- Which row of the permission table came or went, so that the feed can tell just that. Without a name, as before this
-- migration: any number of them.
ALTER TABLE changes
    ADD COLUMN permission_name   TEXT COLLATE "C",
    ADD COLUMN permission_url    TEXT COLLATE "C",
    ADD COLUMN permission_method TEXT COLLATE "C",
    ADD COLUMN permission_added  BIGINT CHECK (permission_added IN (0, 1));
