-- Which row of the permission table came or went, so that the feed can tell just that. Without a name, as before this
-- migration: any number of them.
ALTER TABLE changes ADD COLUMN permission_name TEXT;
ALTER TABLE changes ADD COLUMN permission_url TEXT;
ALTER TABLE changes ADD COLUMN permission_method TEXT;
ALTER TABLE changes ADD COLUMN permission_added INTEGER CHECK (permission_added IN (0, 1));
